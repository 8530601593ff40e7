#!lua flags=allow-oom
-- STOP: ask the worker of a running job to stop it. The lease keeps the wish: after a crash,
-- ACQUIRE gives it to the next worker that runs the job. Safe to repeat; the last policy counts.
--
-- KEYS  lease:hash
-- ARGV  job policy dedupe_ms
-- policy: keep or discard
-- Returns
--   1                            a worker runs the job; the wish is noted
--   0                            the job does not run; nothing was changed
--   {'CORRUPT', key, type}       a key of another type; nothing was written

-- include clock
local held = redis.call('HMGET', lease, 'token', 'until', 'job', 'lease_ms')
if not held[1] or held[3] ~= job or left_ms(lease, 'until', held[2], held[4]) <= 0 then
  return 0
end
redis.call('HSET', lease, 'stop_job', job, 'stop', policy)
redis.call('PEXPIRE', lease, dedupe_ms)
return 1
