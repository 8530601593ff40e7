#!lua flags=allow-oom
-- WAIT_FOR_SLOT: add a session to the waiters of a model, or to those of another class. In a class
-- agents are served in turn, a new one last; sessions of one agent in the order in which their jobs
-- arrived. The session has given its lease back, so it can run as soon as a slot is reserved for
-- it. Safe to repeat: a session waits once, and one that has a slot reserved does not wait. No job
-- arrives later than now: where the server's clock was set back, a session keeps the place that it
-- first got after that.
--
-- KEYS  waiters:zset round_robin:zset enqueued_at:hash call_stats:hash slots...:zset
-- ARGV  session priority arrived limits shares ttl_ms
-- slots: of all servers; session: <agent>:<session>; arrived: µs, 16 digits; limits: slots
-- of each of the servers, as `4,1`; shares: of each class, as `80/15/5`
-- Returns
--   {'OK', ahead, wait_ms}       ahead: sessions that get a slot before it; wait_ms: estimated,
--                                -1 where no call has ended yet
--   {'CORRUPT', key, type}       a key of another type; nothing was written

-- include clock
-- include classes
-- include class_turns
-- include limits
local agent, name = string.match(session, '^([^:]*):(.*)$')
for i = 5, #KEYS do
  if redis.call('ZSCORE', KEYS[i], session) then return {'OK', 0, 0} end
end

local class, now = classes[priority], string.format('%016.0f', now_us)
local mark, before = string.match(redis.call('HGET', enqueued_at, session) or '', '^([!#]?)(%d+)$')
if arrived > now then arrived = before and before < now and before or now end
if before then redis.call('ZREM', waiters, mark .. agent .. ':' .. before .. ':' .. name) end
agent = class.mark .. agent
local entry = agent .. ':' .. arrived .. ':' .. name
redis.call('ZADD', waiters, 0, entry)
redis.call('HSET', enqueued_at, session, class.mark .. arrived)
join_round(agent)
for i = 1, 4 do redis.call('PEXPIRE', KEYS[i], ttl_ms) end

-- include ahead
local mean_ms, all = tonumber(redis.call('HGET', call_stats, 'mean_ms')), 0
for _, one in ipairs(limit_of) do all = all + one end
return {'OK', ahead, mean_ms and math.ceil((ahead + 1) * mean_ms / all) or -1}
