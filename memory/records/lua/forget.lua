#!lua flags=allow-oom
-- FORGET: remove members from an index unless they were active meanwhile. Safe to repeat.
--
-- KEYS  index
-- ARGV  member seen_ms member seen_ms ...
-- seen_ms: the score that was read; another one now means that someone uses the member
-- Returns
--   {'OK', members}              so many were removed
--   {'CORRUPT', key, type}       a key of another type; nothing was removed
local found = redis.call('TYPE', KEYS[1]).ok
if found ~= 'zset' and found ~= 'none' then return {'CORRUPT', KEYS[1], found} end
local removed = 0
for i = 1, #ARGV, 2 do
  local score = redis.call('ZSCORE', KEYS[1], ARGV[i])
  if score and tonumber(score) == tonumber(ARGV[i + 1]) then
    removed = removed + redis.call('ZREM', KEYS[1], ARGV[i])
  end
end
return {'OK', removed}
