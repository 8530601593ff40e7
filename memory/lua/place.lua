#!lua flags=allow-oom
-- PLACE: take a place at a model: the one that is kept for the session, else at the first server
-- that has one free. Who comes while others wait in line overtakes nobody; who was called, or moves
-- from a server that may not be asked any more, waits no second time.
-- Safe to repeat: the same token is given the same place again.
--
-- KEYS  line turns arrivals pace places...
-- ARGV  session token lease_ms limit choice ttl_ms now_us
-- places: of all servers; only the first `choice` of them may be asked, the best first;
-- session: <agent>:<session>; limit: places that each server has; now_us is the server's TIME
-- where it is ''
-- Returns
--   {'TAKEN', number}            at which of the servers, from 1; it ends `lease_ms` from now, but
--                                for HOLD and LEAVE
--   {'FULL'}                     none is free, and none is taken or kept any more: give the
--                                session's lease back, then STAND
--   {'CORRUPT', key, type}       a key of another type; nothing was written
for i, key in ipairs(KEYS) do
  local found = redis.call('TYPE', key).ok
  local kind = i >= 3 and i <= 4 and 'hash' or 'zset'
  if found ~= kind and found ~= 'none' then return {'CORRUPT', key, found} end
end
local line, turns, arrivals = unpack(KEYS)
local session, token, lease_ms, limit, choice, ttl_ms, now_us = unpack(ARGV)
local time = redis.call('TIME')
local now_ms = math.floor((tonumber(now_us) or time[1] * 1000000 + time[2]) / 1000)

local mine, kept
for i = 5, #KEYS do
  if redis.call('ZSCORE', KEYS[i], token) then mine = i end
  if redis.call('ZSCORE', KEYS[i], session) then kept = i end
end
if kept then
  redis.call('ZREM', KEYS[kept], session)
  redis.call('HDEL', arrivals, session)
  mine = mine or kept
end
local was_let_in = mine
if mine and mine > 4 + choice then
  redis.call('ZREM', KEYS[mine], token)
  mine = nil
end
for i = 5, 4 + choice do
  local may_choose = not mine and (was_let_in or redis.call('ZCARD', line) == 0)
  if may_choose and redis.call('ZCARD', KEYS[i]) < tonumber(limit) then mine = i end
end
if not mine then return {'FULL'} end
redis.call('ZADD', KEYS[mine], now_ms + lease_ms, token)
redis.call('PEXPIRE', KEYS[mine], ttl_ms)
return {'TAKEN', mine - 4}
