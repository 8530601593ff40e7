#!lua flags=allow-oom
-- NOTE_LOOK: note whether a model server answers. Of those that wait for it, a batch is to be woken
-- then, with each look twice as many: not all at once, for some server may have to load its model
-- first. The caller takes them off when they are woken (FORGET); who dies before leaves them to
-- the next look. The outage is over when nobody waits and the server has answered for `quiet_ms`.
-- Safe to repeat: the next batch.
--
-- KEYS  outage:hash parked:zset
-- ARGV  answers pause_ms batch most quiet_ms ttl_ms
-- answers: 1 if it does, else 0; pause_ms: until the next look; batch: how many are woken at first,
-- most: how many at most
-- Returns
--   {'NONE'}                     it is not away
--   {'AWAY', since_ms}           it is away
--   {'BACK', since_ms, session, place, …}  it is back; sessions: to be woken, in order
--   {'OVER', since_ms, away_ms, jobs}  the outage is over: how long it lasted, and how many jobs
--                                have waited
--   {'CORRUPT', key, type}       a key of another type; nothing was written

-- include clock
local held = redis.call('HMGET', outage, 'since', 'back_at', 'batch', 'jobs')
local since = tonumber(held[1])
if not since then return {'NONE'} end
redis.call('HSET', outage, 'look_at', now_ms + pause_ms, 'look_ms', pause_ms)
for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, ttl_ms) end
if answers == '0' then
  redis.call('HDEL', outage, 'back_at', 'batch')
  return {'AWAY', since}
end
local back_at, size = tonumber(held[2]) or now_ms, math.min(tonumber(held[3]) or batch, most)
local woken = redis.call('ZRANGE', parked, 0, size - 1, 'WITHSCORES')
-- A clock that was set back must not keep it for long.
if #woken == 0 and math.abs(now_ms - back_at) >= tonumber(quiet_ms) then
  redis.call('DEL', outage)
  return {'OVER', since, math.max(0, back_at - since), tonumber(held[4]) or 0}
end
redis.call('HSET', outage, 'back_at', back_at, 'batch', #woken > 0 and 2 * size or batch)
return {'BACK', since, unpack(woken)}
