#!lua flags=allow-oom
-- CLEAR: remove a history and its summary. Only these go: jobs that wait stay, and a running turn becomes
-- the first of the new one; the revision in the lease tells of it.
-- Safe to repeat: a write id acts once in 10 minutes.
--
-- KEYS  history lease write_ids summary
-- ARGV  write dedupe_ms
-- dedupe_ms: TTL of a lease that has none
-- Returns
--   {'OK', messages}             so many messages were removed
--   {'REPEATED', messages}       this write has been done; nothing was removed
--   {'CORRUPT', key, type}       a key of another type; nothing was removed
for i, kind in ipairs({'list', 'hash', 'zset', 'hash'}) do
  local found = redis.call('TYPE', KEYS[i]).ok
  if found ~= kind and found ~= 'none' then return {'CORRUPT', KEYS[i], found} end
end
local history, lease, write_ids, summary = unpack(KEYS)
local write, dedupe_ms = unpack(ARGV)
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
local window_ms, most = 600000, 1000

local messages = redis.call('LLEN', history)
if redis.call('ZSCORE', write_ids, write) then return {'REPEATED', messages} end
redis.call('ZADD', write_ids, now_ms, write)
redis.call('ZREMRANGEBYSCORE', write_ids, '-inf', now_ms - window_ms)
redis.call('ZREMRANGEBYRANK', write_ids, 0, -most - 1)
redis.call('PEXPIRE', write_ids, window_ms)

redis.call('UNLINK', history, summary)
if redis.call('EXISTS', lease) == 1 then
  redis.call('HINCRBY', lease, 'rev', 1)
  if redis.call('PTTL', lease) < 0 then redis.call('PEXPIRE', lease, dedupe_ms) end
end
return {'OK', messages}
