#!lua flags=allow-oom
-- ACQUIRE: give the head of the mailbox to one worker, with the history that its turn is made from.
-- Safe to repeat: the same token gets RUN again, and no further attempt is counted.
--
-- KEYS  history:list? queue:zset? jobs:hash? callbacks:hash lease:hash? done:zset? dead:list events:stream outbox:hash delayed:zset
-- ARGV  job token lease_ms history_n max_attempts grace_ms events_max ttl_s dedupe_ms dead_ms dead_max dead_bytes
-- token: also names who delivers the end where the job is dead; grace_ms: how long it has for that;
-- ttl_s: of the events and the history; dead_bytes: the largest envelope that a dead letter keeps
-- Returns (next, head: a job and its envelope, both '' where there is none to wake; behind them
-- how urgent its session is, 'interactive' or 'batch', which a normal one leaves out)
--   {'RUN', seq_us, attempt, envelope, messages, stop, stored, away_ms}  messages: the last
--                                history_n of `stored`, oldest first; stop: how the job was asked
--                                to stop, by STOP or by an INTERRUPT that came after it, or '';
--                                away_ms: for how long it waits for its model's servers; then how
--                                urgent the session is, as behind next
--   {'DONE'}                      committed; no next: wake-ups for a done job would never end
--   {'GONE', next, envelope}      cancelled, merged, dead or erased
--   {'UNKNOWN', next, envelope}   neither in the mailbox nor done
--   {'BUSY', ms}                  another lease lives for `ms`; its holder publishes the next job
--   {'NOT_HEAD', head, envelope}  another job is first; the caller publishes its wake-up
--   {'WAIT', ms}                  the job backs off for `ms`, or is delayed for so long
--   {'DEAD', next, envelope}      no attempt is left: it is a dead letter now
--   {'CORRUPT', key, type}        a key of another type; nothing was written

-- include clock
-- include session_class
-- include held
-- include keep_history
if mark_ms > 0 then return {'DONE'} end
if mark_ms < 0 then return {'GONE', first()} end
local front = redis.call('ZRANGE', queue, 0, 0, 'WITHSCORES')
local seq_us = front[1] == job and front[2] or redis.call('ZSCORE', queue, job)
if not seq_us then
  local due_at_ms = redis.call('ZSCORE', delayed, job)
  if due_at_ms then return {'WAIT', math.max(0, due_at_ms - now_ms)} end
  return {'UNKNOWN', first()}
end
local is_ours = held[1] == token and held[3] == job
-- The lease saves model calls; COMMIT decides alone which output counts.
if live_ms > 0 and not is_ours then return {'BUSY', live_ms} end
if front[1] ~= job then return {'NOT_HEAD', first()} end
local wait_ms = left_ms(lease, 'not_before', held[5], held[7])
if wait_ms > 0 then return {'WAIT', wait_ms} end

local envelope, stored = redis.call('HGET', jobs, job) or '', redis.call('LLEN', history)
local attempt = held[3] == job and tonumber(held[4]) or 0
-- include wishes
-- The attempt of a worker that died counts, as no FAIL took it back. One more to end a cancelled
-- job calls no model.
if held[3] ~= job then
  if noted[4] or noted[5] then redis.call('HDEL', lease, 'errors', 'servers_away_since') end
elseif held[1] and not is_ours then
-- include note_error
  note_error(attempt, 'its worker gave no sign of life')
end
if not is_ours and stop == '' and attempt >= tonumber(max_attempts) then
  local owner, reason = token, 'no answer after ' .. attempt .. ' attempts'
-- include end_job
-- include dead_letter
  keep_dead_letter(envelope, attempt, reason)
  end_job(job, -now_ms, last_event('failed', job, attempt, 'error', reason))
  forget_attempt()
  live_ms = 0
  return {'DEAD', first()}
end
if not is_ours then attempt = attempt + 1 end
redis.call('HSET', lease, 'token', token, 'until', now_ms + lease_ms, 'job', job,
  'attempt', attempt, 'seq', seq_us, 'lease_ms', lease_ms)
if held[5] or noted[6] or noted[7] or noted[8] or noted[9] or noted[10] then
  redis.call('HDEL', lease, 'not_before', 'failed', 'woken_at', 'wakes', 'slot_wait_until',
    'paused')
end
live(lease, dedupe_ms)
local messages = tonumber(history_n) > 0 and redis.call('LRANGE', history, -history_n, -1) or {}
return {'RUN', tonumber(seq_us), attempt, envelope, messages, stop, stored,
  math.max(0, now_ms - away_since_ms), class_of(seq_us, held[8], held[9])}
