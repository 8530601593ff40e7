#!lua flags=allow-oom
-- LOOK: ask to be the one that finds out whether a model server is back. NOTE_LOOK says what came
-- of it; who dies before that is followed by another one when `lease_ms` have passed. Not safe to
-- repeat: a lost reply costs `lease_ms`.
--
-- KEYS  outage:hash
-- ARGV  lease_ms unwatched_ms
-- unwatched_ms: 0, or how long nobody may have looked at it: for a caller that does not use it
-- Returns
--   {'NONE'}                     it is not away
--   {'LATER', is_away}           somebody looks at it now, or has just done so; is_away: 0 where it
--                                is back, and sessions are being woken
--   {'LOOK', is_away}            the caller is to look
--   {'CORRUPT', key, type}       a key of another type; nothing was written

-- include clock
local held = redis.call('HMGET', outage, 'since', 'back_at', 'look_at', 'look_ms')
if not held[1] then return {'NONE'} end
local is_away = held[2] and 0 or 1
local left = left_ms(outage, 'look_at', held[3], held[4])
if left + unwatched_ms > 0 and held[3] then return {'LATER', is_away} end
redis.call('HSET', outage, 'look_at', now_ms + lease_ms, 'look_ms', lease_ms)
return {'LOOK', is_away}
