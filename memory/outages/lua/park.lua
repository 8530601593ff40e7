#!lua flags=allow-oom
-- PARK: have a session wait for a model server that is away, or for what is paused. Its lease was
-- given back before. The last that comes is the last of its class that is woken; of what is paused
-- it is the job that was sent last. A server that had just come back has been away all the time.
-- Safe to repeat: a session waits once, and is the last again, or where it was; in a pause its job
-- is counted once.
--
-- KEYS  outage:hash parked:zset
-- ARGV  session priority is_first pause_ms place_us ttl_ms
-- session: <agent>:<session>; priority: 'interactive', 'normal' or 'batch'; is_first: 1 where its
-- job waits for the first time, else 0; pause_ms: until the next look, where the server has
-- answered one until now; place_us: its place in its class, the smallest first, or 0 for the last
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
-- Each class has its range of places: all that are more urgent come first.
local range = 2 ^ 52
local from = ({interactive = -range, batch = range})[priority] or 0
local place = from + tonumber(place_us)
if place > from then
  -- Another place than it has: who has just woken it takes off what waited then (FORGET).
  local before = tonumber(redis.call('ZSCORE', parked, session)) or from
  if before < from + range then
    if before >= place then is_first = 0 end
    place = math.max(place, before + 1)
  end
else
  -- Behind those of its class that are there, also where the clock was set back.
  local last = redis.call('ZREVRANGEBYSCORE', parked, '(' .. string.format('%.0f', from + range),
    string.format('%.0f', from), 'WITHSCORES', 'LIMIT', 0, 1)
  place = math.max(from + now_us, (tonumber(last[2]) or from) + 1)
end
redis.call('ZADD', parked, string.format('%.0f', place), session)
redis.call('HINCRBY', outage, 'jobs', is_first)
for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, ttl_ms) end
return {'OK', tonumber(redis.call('HGET', outage, 'since')), is_new}
