#!lua flags=allow-oom
-- TOUCH: note in indexes that a member of each is active now, by the server's clock. Safe to
-- repeat.
--
-- KEYS  index...:zset?
-- ARGV  members...
-- members: one of each index
-- Returns
--   {'OK', now_ms}
--   {'CORRUPT', key, type}       a key of another type; the other indexes were written

-- include clock
local reply = {'OK', now_ms}
for i, key in ipairs(KEYS) do
  local added = redis.pcall('ZADD', key, 'GT', now_ms, ARGV[i])
  local found = type(added) == 'table' and redis.call('TYPE', key).ok
  if found and found == 'zset' then return added end
  if found then reply = {'CORRUPT', key, found} end
end
return reply
