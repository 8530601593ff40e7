#!lua flags=allow-oom
-- RENEW_SLOT: prolong a slot that is taken, also one that ended and was not given away. Safe to
-- repeat.
--
-- KEYS  slots...
-- ARGV  token lease_ms ttl_ms now_us
-- slots: of all servers; now_us is the server's TIME where it is ''
-- Returns
--   1                            it ends `lease_ms` from now
--   0                            lost: stop the call, for another may have the slot
--   {'CORRUPT', key, type}       a key of another type; nothing was written
for _, key in ipairs(KEYS) do
  local found = redis.call('TYPE', key).ok
  if found ~= 'zset' and found ~= 'none' then return {'CORRUPT', key, found} end
end
local token, lease_ms, ttl_ms, now_us = unpack(ARGV)
local time = redis.call('TIME')
local now_ms = math.floor((tonumber(now_us) or time[1] * 1000000 + time[2]) / 1000)

local is_held = 0
for _, slots in ipairs(KEYS) do
  if redis.call('ZSCORE', slots, token) then
    redis.call('ZADD', slots, now_ms + lease_ms, token)
    redis.call('PEXPIRE', slots, ttl_ms)
    is_held = 1
  end
end
return is_held
