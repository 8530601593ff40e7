#!lua flags=allow-oom
-- STAND: have a session stand in the line of a model, at the place that its job's arrival gives it
-- among its agent's. The session's lease was given back before: whoever is called can come.
-- Agents are served in turn; one that is new to the line is the last of the round.
-- Safe to repeat: a session stands once, and one for which a place is kept already does not.
--
-- KEYS  line turns arrivals pace places...
-- ARGV  session arrived limit ttl_ms
-- places: of all servers; session: <agent>:<session>; arrived: µs, 16 digits; limit: places that
-- each server has
-- Returns
--   {'OK', ahead, wait_ms}       so many are called before; wait_ms: estimated, -1 where no call
--                                has ended yet
--   {'CORRUPT', key, type}       a key of another type; nothing was written
for i, key in ipairs(KEYS) do
  local found = redis.call('TYPE', key).ok
  local kind = i >= 3 and i <= 4 and 'hash' or 'zset'
  if found ~= kind and found ~= 'none' then return {'CORRUPT', key, found} end
end
local line, turns, arrivals, pace = unpack(KEYS)
local session, arrived, limit, ttl_ms = unpack(ARGV)
local agent, name = string.match(session, '^([^:]*):(.*)$')
local entry = agent .. ':' .. arrived .. ':' .. name
for i = 5, #KEYS do
  if redis.call('ZSCORE', KEYS[i], session) then return {'OK', 0, 0} end
end

local before = redis.call('HGET', arrivals, session)
if before then redis.call('ZREM', line, agent .. ':' .. before .. ':' .. name) end
redis.call('ZADD', line, 0, entry)
redis.call('HSET', arrivals, session, arrived)
if not redis.call('ZSCORE', turns, agent) then
  local last = redis.call('ZRANGE', turns, -1, -1, 'WITHSCORES')
  redis.call('ZADD', turns, (tonumber(last[2]) or 0) + 1, agent)
end
for i = 1, 4 do redis.call('PEXPIRE', KEYS[i], ttl_ms) end

local rounds = redis.call('ZLEXCOUNT', line, '[' .. agent .. ':', '(' .. entry)
local turn, agents = redis.call('ZRANK', turns, agent), redis.call('ZRANGE', turns, 0, -1)
local ahead = rounds * #agents + turn
if rounds > 0 and #agents <= 100 then
  ahead = rounds
  for i, other in ipairs(agents) do
    local waiting = redis.call('ZLEXCOUNT', line, '[' .. other .. ':', '(' .. other .. ';')
    if i ~= turn + 1 then ahead = ahead + math.min(waiting, i <= turn and rounds + 1 or rounds) end
  end
end
local mean_ms, all = tonumber(redis.call('HGET', pace, 'mean_ms')), limit * (#KEYS - 4)
return {'OK', ahead, mean_ms and math.ceil((ahead + 1) * mean_ms / all) or -1}
