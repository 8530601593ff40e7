#!lua flags=allow-oom
-- WAIT_FOR_SLOT: add a session to the waiters of a model. Within its agent it waits in the order in
-- which its job arrived. Its lease was given back before, so that it can run once a slot is granted.
-- Agents are served in turn; a new one is the last of the round.
-- Safe to repeat: a session waits once, and one that was granted a slot does not wait.
--
-- KEYS  waiters round_robin enqueued_at call_stats slots...
-- ARGV  session arrived limit ttl_ms
-- slots: of all servers; session: <agent>:<session>; arrived: µs, 16 digits; limit: slots that
-- each server has
-- Returns
--   {'OK', ahead, wait_ms}       so many are granted one before; wait_ms: estimated, -1 where no call
--                                has ended yet
--   {'CORRUPT', key, type}       a key of another type; nothing was written
for i, key in ipairs(KEYS) do
  local found = redis.call('TYPE', key).ok
  local kind = i >= 3 and i <= 4 and 'hash' or 'zset'
  if found ~= kind and found ~= 'none' then return {'CORRUPT', key, found} end
end
local waiters, round_robin, enqueued_at, call_stats = unpack(KEYS)
local session, arrived, limit, ttl_ms = unpack(ARGV)
local agent, name = string.match(session, '^([^:]*):(.*)$')
local entry = agent .. ':' .. arrived .. ':' .. name
for i = 5, #KEYS do
  if redis.call('ZSCORE', KEYS[i], session) then return {'OK', 0, 0} end
end

local before = redis.call('HGET', enqueued_at, session)
if before then redis.call('ZREM', waiters, agent .. ':' .. before .. ':' .. name) end
redis.call('ZADD', waiters, 0, entry)
redis.call('HSET', enqueued_at, session, arrived)
if not redis.call('ZSCORE', round_robin, agent) then
  local last = redis.call('ZRANGE', round_robin, -1, -1, 'WITHSCORES')
  redis.call('ZADD', round_robin, (tonumber(last[2]) or 0) + 1, agent)
end
for i = 1, 4 do redis.call('PEXPIRE', KEYS[i], ttl_ms) end

local rounds = redis.call('ZLEXCOUNT', waiters, '[' .. agent .. ':', '(' .. entry)
local turn = redis.call('ZRANK', round_robin, agent)
local agents = redis.call('ZRANGE', round_robin, 0, -1)
local ahead = rounds * #agents + turn
if rounds > 0 and #agents <= 100 then
  ahead = rounds
  for i, other in ipairs(agents) do
    local waiting = redis.call('ZLEXCOUNT', waiters, '[' .. other .. ':', '(' .. other .. ';')
    if i ~= turn + 1 then ahead = ahead + math.min(waiting, i <= turn and rounds + 1 or rounds) end
  end
end
local mean_ms, all = tonumber(redis.call('HGET', call_stats, 'mean_ms')), limit * (#KEYS - 4)
return {'OK', ahead, mean_ms and math.ceil((ahead + 1) * mean_ms / all) or -1}
