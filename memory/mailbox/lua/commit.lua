#!lua flags=allow-oom
-- COMMIT: append the turn of the head, mark its job done and open the mailbox for the next.
-- This compare-and-set is what makes the mailbox correct; the lease only saves model calls.
-- Safe to repeat: ALREADY.
--
-- KEYS  history:list queue:zset jobs:hash lease:hash done:zset events:stream
-- ARGV  token job keep ttl_s dedupe_ms events_max event records...
-- keep: messages that stay; records: at least one; event: '' for none, else it joins the stream, of
-- which about the last events_max stay
-- Returns (next: a job and its envelope, both '' where there is none to wake)
--   {'OK', next, envelope}       recorded, history trimmed to `keep`, its TTL at least `ttl_s`
--   {'ALREADY', next, envelope}  recorded before
--   {'GONE', next, envelope}     cancelled or dead; nothing was recorded
--   {'FENCED'}                   the token holds no lease on this job: drop the output
--   {'REORDER'}                  not the head; unreachable while ACQUIRE checks that
--   {'CORRUPT', key, type}       a key of another type; nothing was written

-- include clock
-- include held
-- include end_job
if mark_ms > 0 then return {'ALREADY', first()} end
if mark_ms < 0 then return {'GONE', first()} end
if held[1] ~= token or held[3] ~= job then return {'FENCED'} end
if redis.call('ZRANGE', queue, 0, 0)[1] ~= job then return {'REORDER'} end

redis.call('RPUSH', history, unpack(ARGV, 8))
redis.call('LTRIM', history, -keep, -1)
-- A TTL that was given with the history may be longer; it is not shortened.
if redis.call('TTL', history) < tonumber(ttl_s) then redis.call('EXPIRE', history, ttl_s) end
if event ~= '' then
  redis.call('XADD', events, 'MAXLEN', '~', events_max, '*', 'event', event)
  redis.call('EXPIRE', events, ttl_s)
end
end_job(job, now_ms)
forget_attempt()
redis.call('PEXPIRE', lease, dedupe_ms)
live_ms = 0
return {'OK', first()}
