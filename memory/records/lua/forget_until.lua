#!lua flags=allow-oom
-- FORGET_UNTIL: remove members from an index that were not active after a moment. Safe to repeat.
--
-- KEYS  index:zset
-- ARGV  until_ms members...
-- Returns
--   {'OK', members}              how many were removed
--   {'CORRUPT', key, type}       a key of another type; nothing was removed

local removed = 0
for i = 2, #ARGV do
  local score = redis.call('ZSCORE', index, ARGV[i])
  if score and tonumber(score) <= tonumber(until_ms) then
    removed = removed + redis.call('ZREM', index, ARGV[i])
  end
end
return {'OK', removed}
