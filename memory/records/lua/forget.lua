#!lua flags=allow-oom
-- FORGET: remove members from an index unless they were active meanwhile. Safe to repeat.
--
-- KEYS  index:zset
-- ARGV  pairs...
-- pairs: member, seen_ms, member, seen_ms, …; seen_ms: the score that was read. A member that has
-- another score now was active meanwhile and stays.
-- Returns
--   {'OK', members}              how many were removed
--   {'CORRUPT', key, type}       a key of another type; nothing was removed

local removed = 0
for i = 1, #ARGV, 2 do
  local score = redis.call('ZSCORE', index, ARGV[i])
  if score and tonumber(score) == tonumber(ARGV[i + 1]) then
    removed = removed + redis.call('ZREM', index, ARGV[i])
  end
end
return {'OK', removed}
