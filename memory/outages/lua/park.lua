#!lua flags=allow-oom
-- PARK: have a session wait for a model server that is away, or for what is paused. Its lease was
-- given back before. The last that comes is the last that is woken; of what is paused it is the job
-- that was sent last. A server that had just come back has been away all the time. Safe to repeat:
-- a session waits once, and is the last again, or where it was.
--
-- KEYS  outage:hash parked:zset
-- ARGV  session is_first pause_ms place_us ttl_ms
-- session: <agent>:<session>; is_first: 1 where its job waits for the first time, else 0;
-- pause_ms: until the next look, where the server has answered one until now; place_us: its place
-- among those that wait, the smallest first, or 0 for the last
-- Returns
--   {'OK', since_ms, is_new}     since when the server is away; is_new: 1 if that is noted now
--   {'CORRUPT', key, type}       a key of another type; nothing was written

-- include clock
local is_new = redis.call('HSETNX', outage, 'since', now_ms)
local look = redis.call('HMGET', outage, 'look_at', 'look_ms')
local is_earlier = left_ms(outage, 'look_at', look[1], look[2]) < tonumber(pause_ms)
-- Whoever looks just now keeps the time for it.
if redis.call('HDEL', outage, 'back_at', 'batch') + is_new > 0 and is_earlier then
  redis.call('HSET', outage, 'look_at', now_ms + pause_ms, 'look_ms', pause_ms)
end
-- Behind those that are there, also where the clock was set back.
local last = redis.call('ZRANGE', parked, -1, -1, 'WITHSCORES')
local place = math.max(now_us, (tonumber(last[2]) or 0) + 1)
-- Another place than it has: who has just woken it takes off what waited then (FORGET).
if tonumber(place_us) > 0 then
  place = math.max(tonumber(place_us), (tonumber(redis.call('ZSCORE', parked, session)) or 0) + 1)
end
redis.call('ZADD', parked, place, session)
redis.call('HINCRBY', outage, 'jobs', is_first)
for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, ttl_ms) end
return {'OK', tonumber(redis.call('HGET', outage, 'since')), is_new}
