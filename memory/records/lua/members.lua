#!lua flags=allow-oom
-- MEMBERS: the members of an index that were active last, the newest first.
--
-- KEYS  index:zset
-- ARGV  limit
-- Returns
--   {'OK', members}              a list
--   {'CORRUPT', key, type}       a key of another type

return {'OK', redis.call('ZRANGE', index, 0, limit - 1, 'REV')}
