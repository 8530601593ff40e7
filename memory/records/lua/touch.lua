#!lua flags=allow-oom
-- TOUCH: note in an index that a member is active now, by the server's clock. Safe to repeat.
--
-- KEYS  index:zset
-- ARGV  member
-- Returns
--   {'OK', now_ms}
--   {'CORRUPT', key, type}       a key of another type; nothing was written

-- include clock
redis.call('ZADD', index, 'GT', now_ms, member)
return {'OK', now_ms}
