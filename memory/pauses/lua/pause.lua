#!lua flags=allow-oom
-- PAUSE: note that something is paused, for a while or until it is resumed. What is paused already
-- keeps its beginning, and gets the new end and reason. Pauses that have ended are removed.
-- Safe to repeat: the end is later by what has passed.
--
-- KEYS  pauses:hash
-- ARGV  target for_ms reason most
-- for_ms: 0 until it is resumed; most: how many pauses there may be
-- Returns
--   {'OK', since_ms, until_ms}   it is paused; until_ms: 0 until it is resumed
--   {'FULL'}                     there are `most`; nothing was paused
--   {'CORRUPT', key, type}       a key of another type; nothing was written

-- include clock
local held = redis.call('HGETALL', pauses)
local count, since_ms = 0, now_ms
for i = 1, #held, 2 do
  local began_ms, until_ms = string.match(held[i + 1], '^(%d+) (%d+) ')
  until_ms = tonumber(until_ms) or 0
  if until_ms > 0 and until_ms <= now_ms then redis.call('HDEL', pauses, held[i])
  elseif held[i] == target then since_ms = tonumber(began_ms) or now_ms
  else count = count + 1 end
end
if count >= tonumber(most) then return {'FULL'} end
local end_ms = tonumber(for_ms) > 0 and now_ms + for_ms or 0
redis.call('HSET', pauses, target, string.format('%.0f %.0f ', since_ms, end_ms) .. reason)
return {'OK', since_ms, end_ms}
