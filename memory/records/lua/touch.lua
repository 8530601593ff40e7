#!lua flags=allow-oom
-- TOUCH: note in an index that a member is active now, by the server's clock. Safe to repeat.
--
-- KEYS  index
-- ARGV  member
-- Returns
--   {'OK', now_ms}
--   {'CORRUPT', key, type}       a key of another type; nothing was written
local found = redis.call('TYPE', KEYS[1]).ok
if found ~= 'zset' and found ~= 'none' then return {'CORRUPT', KEYS[1], found} end
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZADD', KEYS[1], 'GT', now_ms, ARGV[1])
return {'OK', now_ms}
