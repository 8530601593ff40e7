#!lua flags=allow-oom
-- COMMIT: append the turn of the head, mark its job done and open the mailbox for the next.
-- This compare-and-set is what makes the mailbox correct; the lease only saves model calls.
-- Safe to repeat: ALREADY.
--
-- KEYS  history:list? queue:zset? jobs:hash callbacks:hash lease:hash? done:zset? events:stream outbox:hash delayed:zset
-- ARGV  token job keep most_bytes ttl_s grace_ms dedupe_ms events_max event records...
-- token: also names who delivers the end, which has `grace_ms` for that; keep: messages that stay,
-- most_bytes: and how many bytes they have at most; event: the job's last one; records: at least
-- one
-- Returns (next: a job and its envelope, both '' where there is none to wake; behind them how
-- urgent its session is, 'interactive' or 'batch', which a normal one leaves out)
--   {'OK', next, envelope}       recorded, history trimmed, its TTL at least `ttl_s`
--   {'ALREADY', next, envelope}  recorded before, as the outbox or the history says
--   {'GONE', next, envelope}     cancelled or dead; nothing was recorded
--   {'FENCED'}                   the token holds no lease on this job: drop the output
--   {'REORDER'}                  not the head; unreachable while ACQUIRE checks that
--   {'CORRUPT', key, type}       a key of another type; nothing was written

-- include clock
-- include session_class
-- include held
local owner = token
-- include keep_history
-- include end_job
-- include history_size
-- include add_messages
if mark_ms > 0 then return {'ALREADY', first()} end
if mark_ms < 0 then return {'GONE', first()} end
if held[1] ~= token or held[3] ~= job then return {'FENCED'} end
if redis.call('ZRANGE', queue, 0, 0)[1] ~= job then return {'REORDER'} end

add_messages(10, held[10] or '')
end_job(job, now_ms, event)
forget_attempt()
live(lease, dedupe_ms)
live_ms = 0
return {'OK', first()}
