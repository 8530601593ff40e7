#!lua flags=allow-oom
-- PLACE: take a place at a model, or the one that is kept for the session. Who comes while others
-- wait in line overtakes nobody. Safe to repeat: the same token is answered 1 again.
--
-- KEYS  places line turns arrivals pace
-- ARGV  session token lease_ms limit ttl_ms now_us
-- session: <agent>:<session>; limit: places that there are; now_us is the server's TIME where it
-- is ''
-- Returns
--   1                            taken; it ends `lease_ms` from now, but for HOLD and LEAVE
--   0                            none is free: give the session's lease back, then STAND
--   {'CORRUPT', key, type}       a key of another type; nothing was written
for i, kind in ipairs({'zset', 'zset', 'zset', 'hash', 'hash'}) do
  local found = redis.call('TYPE', KEYS[i]).ok
  if found ~= kind and found ~= 'none' then return {'CORRUPT', KEYS[i], found} end
end
local places, line, turns, arrivals = unpack(KEYS)
local session, token, lease_ms, limit, ttl_ms, now_us = unpack(ARGV)
local time = redis.call('TIME')
local now_ms = math.floor((tonumber(now_us) or time[1] * 1000000 + time[2]) / 1000)

if not redis.call('ZSCORE', places, token) then
  if redis.call('ZREM', places, session) == 1 then
    redis.call('HDEL', arrivals, session)
  elseif redis.call('ZCARD', line) > 0 or redis.call('ZCARD', places) >= tonumber(limit) then
    return 0
  end
end
redis.call('ZADD', places, now_ms + lease_ms, token)
redis.call('PEXPIRE', places, ttl_ms)
return 1
