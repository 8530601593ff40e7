#!lua flags=allow-oom
-- HOLD: prolong a place that is taken, also one that ended and was not given away. Safe to repeat.
--
-- KEYS  places
-- ARGV  token lease_ms ttl_ms now_us
-- now_us is the server's TIME where it is ''
-- Returns
--   1                            it ends `lease_ms` from now
--   0                            lost: stop the call, for others may have the place
--   {'CORRUPT', key, type}       a key of another type; nothing was written
local found = redis.call('TYPE', KEYS[1]).ok
if found ~= 'zset' and found ~= 'none' then return {'CORRUPT', KEYS[1], found} end
local token, lease_ms, ttl_ms, now_us = unpack(ARGV)
local time = redis.call('TIME')
local now_ms = math.floor((tonumber(now_us) or time[1] * 1000000 + time[2]) / 1000)

if not redis.call('ZSCORE', KEYS[1], token) then return 0 end
redis.call('ZADD', KEYS[1], now_ms + lease_ms, token)
redis.call('PEXPIRE', KEYS[1], ttl_ms)
return 1
