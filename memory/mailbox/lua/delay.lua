#!lua
-- DELAY: keep a job that takes its place in the mailbox at `due_ms`, not now: whoever sends it then
-- by ENQUEUE, INTERRUPT, SUPERSEDE or MERGE puts it there (memory/mailbox/delayed.py). Until then
-- it is no head and holds nobody up, and its history does not expire. Refused when Redis is out of
-- memory. Safe to repeat: PENDING or DONE; the first `due_ms` counts.
--
-- KEYS  history:list queue:zset? jobs:hash callbacks:hash lease:hash? done:zset? requests:hash events:stream delayed:zset? pointer...:string?
-- ARGV  job envelope its_callbacks cap request priority due_ms event events_max ttl_s dedupe_ms
-- due_ms: by the server's clock; event: the `scheduled` event; the others as of ENQUEUE, but `cap`
-- bounds the session's delayed jobs too
-- Returns
--   {'NEW', seq_us, position, stopping, wake, ended}  kept; position: -1
--   {'PENDING', seq_us, position, stopping, wake, ended}  was there; position -1: it is delayed
--   {'DONE', mark_ms}             > 0: committed then, < 0: cancelled, merged or dead since then
--   {'CONFLICT'}                  the id is another request's; nothing was written
--   {'FULL', pending, first}      `cap` jobs or more wait or are delayed, `first` is the head or
--                                 ''; nothing was written
--   {'CORRUPT', key, type}        a key of another type; nothing was written

-- include clock
-- include keep_history
-- include session_class
-- include intake
if seq_us then return {'PENDING', seq_us, position, '', '', 0} end
if due_at_ms then return {'PENDING', 0, -1, '', '', 0} end
pending = pending + redis.call('ZCARD', delayed)
if pending >= tonumber(cap) then return {'FULL', pending, head} end
keep(envelope, math.max(0, due_ms - now_ms) + dedupe_ms)
redis.call('ZADD', delayed, due_ms, job)
redis.call('XADD', events, 'MAXLEN', '~', events_max, '*', 'event', event)
redis.call('EXPIRE', events, ttl_s % 31536000000)
return {'NEW', 0, -1, '', '', 0}
