#!lua
-- APPEND: add messages to the end of a history, trim it and renew its TTL, in one step. Refused
-- when Redis is out of memory (no allow-oom). Safe to repeat: a write id acts once in 10 minutes.
--
-- KEYS  history write_ids
-- ARGV  write keep ttl_ms is_exact records...
-- keep: messages that stay; ttl_ms: set as it is where is_exact is 1, else it only lengthens;
-- records: at least one
-- Returns
--   {'OK', messages}             so many messages now
--   {'REPEATED', messages}       this write has been done; nothing was written
--   {'CORRUPT', key, type}       a key of another type; nothing was written
for i, kind in ipairs({'list', 'zset'}) do
  local found = redis.call('TYPE', KEYS[i]).ok
  if found ~= kind and found ~= 'none' then return {'CORRUPT', KEYS[i], found} end
end
local history, write_ids = unpack(KEYS)
local write, keep, ttl_ms, is_exact = unpack(ARGV, 1, 4)
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
local window_ms, most = 600000, 1000

if redis.call('ZSCORE', write_ids, write) then
  return {'REPEATED', redis.call('LLEN', history)}
end
redis.call('ZADD', write_ids, now_ms, write)
redis.call('ZREMRANGEBYSCORE', write_ids, '-inf', now_ms - window_ms)
redis.call('ZREMRANGEBYRANK', write_ids, 0, -most - 1)
redis.call('PEXPIRE', write_ids, window_ms)

local left_ms = redis.call('PTTL', history)
redis.call('RPUSH', history, unpack(ARGV, 5))
redis.call('LTRIM', history, -keep, -1)
if is_exact == '1' or left_ms < tonumber(ttl_ms) then redis.call('PEXPIRE', history, ttl_ms) end
return {'OK', redis.call('LLEN', history)}
