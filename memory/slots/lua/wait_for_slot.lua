#!lua flags=allow-oom
-- WAIT_FOR_SLOT: add a session to the waiters of a model. Agents are served in turn, a new one
-- last; sessions of one agent in the order in which their jobs arrived. The session has given its
-- lease back, so it can run as soon as a slot is reserved for it. Safe to repeat: a session waits
-- once, and one that has a slot reserved does not wait. No job arrives later than now: where the
-- server's clock was set back, a session keeps the place that it first got after that.
--
-- KEYS  waiters:zset round_robin:zset enqueued_at:hash call_stats:hash slots...:zset
-- ARGV  session arrived limits ttl_ms
-- slots: of all servers; session: <agent>:<session>; arrived: µs, 16 digits; limits: slots
-- of each of the servers, as `4,1`
-- Returns
--   {'OK', ahead, wait_ms}       ahead: sessions that get a slot before it; wait_ms: estimated,
--                                -1 where no call has ended yet
--   {'CORRUPT', key, type}       a key of another type; nothing was written

-- include clock
-- include join_round
-- include limits
local agent, name = string.match(session, '^([^:]*):(.*)$')
for i = 5, #KEYS do
  if redis.call('ZSCORE', KEYS[i], session) then return {'OK', 0, 0} end
end

local before, now = redis.call('HGET', enqueued_at, session), string.format('%016.0f', now_us)
if arrived > now then arrived = before and before < now and before or now end
local entry = agent .. ':' .. arrived .. ':' .. name
if before then redis.call('ZREM', waiters, agent .. ':' .. before .. ':' .. name) end
redis.call('ZADD', waiters, 0, entry)
redis.call('HSET', enqueued_at, session, arrived)
join_round(agent)
for i = 1, 4 do redis.call('PEXPIRE', KEYS[i], ttl_ms) end

-- In each round before its own, every agent that still has waiters gets one slot.
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
local mean_ms, all = tonumber(redis.call('HGET', call_stats, 'mean_ms')), 0
for _, one in ipairs(limit_of) do all = all + one end
return {'OK', ahead, mean_ms and math.ceil((ahead + 1) * mean_ms / all) or -1}
