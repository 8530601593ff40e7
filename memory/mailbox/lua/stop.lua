#!lua flags=allow-oom
-- STOP: ask for the end of a running job. The wish stays with the job: whoever runs it next, after
-- a crash, is told by ACQUIRE. Safe to repeat; the last policy counts.
--
-- KEYS  lease
-- ARGV  job policy dedupe_ms now_us
-- policy: keep or discard; now_us is the server's TIME where it is ''
-- Returns
--   {'STOPPING'}                 a holder has the job, or had it and may come back: it is noted
--   {'IDLE'}                     the job does not run; nothing was changed
--   {'CORRUPT', key, type}       a key of another type; nothing was written
local found = redis.call('TYPE', KEYS[1]).ok
if found ~= 'hash' and found ~= 'none' then return {'CORRUPT', KEYS[1], found} end
local time = redis.call('TIME')
local now_ms = math.floor((tonumber(ARGV[4]) or time[1] * 1000000 + time[2]) / 1000)

local held = redis.call('HMGET', KEYS[1], 'token', 'until', 'job')
if not held[1] or held[3] ~= ARGV[1] or (tonumber(held[2]) or 0) <= now_ms then return {'IDLE'} end
redis.call('HSET', KEYS[1], 'stop_job', ARGV[1], 'stop', ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return {'STOPPING'}
