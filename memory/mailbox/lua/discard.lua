#!lua flags=allow-oom
-- DISCARD: take a job out for good without a turn: cancelled, or failed with or without a letter.
-- A job that is not there yet is marked too: its raw message may be on the way.
-- Safe to repeat: GONE.
--
-- KEYS  history:list queue:zset? jobs:hash callbacks:hash lease:hash? done:zset? dead:list events:stream outbox:hash delayed:zset
-- ARGV  job reason token owner ending grace_ms events_max ttl_s dedupe_ms dead_ms dead_max dead_bytes
-- token: that of the lease, '' where the caller has none; owner: who delivers the end;
-- ending: 'cancelled', 'failed', or 'dead': failed, and a dead letter is kept; dead_bytes: the
-- largest envelope that one keeps
-- Returns (next: a job and its envelope, both '' where there is none to wake; behind them how
-- urgent its session is, 'interactive' or 'batch', which a normal one leaves out)
--   {'DISCARDED', next, envelope} removed, and marked done
--   {'GONE', next, envelope}     was cancelled or dead before
--   {'DONE'}                     was committed before; nothing was changed
--   {'RUNNING'}                  it runs, or `token` holds no lease on it; nothing changed
--   {'CORRUPT', key, type}       a key of another type; nothing was written

-- include clock
-- include session_class
-- include held
-- include keep_history
-- include end_job
-- include dead_letter
if mark_ms > 0 then return {'DONE'} end
if mark_ms < 0 then return {'GONE', first()} end
-- A worker that has lost its lease must not end a job that another runs now.
if token ~= '' and (held[1] ~= token or held[3] ~= job) then return {'RUNNING'} end
if token == '' and held[3] == job and live_ms > 0 then return {'RUNNING'} end

local envelope = redis.call('HGET', jobs, job)
local attempt = held[3] == job and tonumber(held[4]) or 0
if ending == 'dead' and envelope then keep_dead_letter(envelope, attempt, reason) end
local kind, name = 'failed', 'error'
if ending == 'cancelled' then kind, name = 'cancelled', 'reason' end
end_job(job, -now_ms, last_event(kind, job, attempt, name, reason))
if held[3] == job then
  forget_attempt()
  live_ms = 0
end
redis.call('HDEL', lease, 'woken_at', 'wakes', 'slot_wait_until')
return {'DISCARDED', first()}
