#!lua flags=allow-oom
-- DUE: the members of a list that a sweeper must look at by now, the longest due first.
--
-- KEYS  due:zset?
-- ARGV  limit
-- Returns
--   {'OK', now_ms, member, at_ms, member, at_ms, …}  now_ms: the server's time; at_ms: as the
--                                server writes it
--   {'CORRUPT', key, type}       a key of another type

-- include clock
-- include due_clock
local reply = redis.call('ZRANGEBYSCORE', due, '-inf', now_ms, 'WITHSCORES', 'LIMIT', 0, limit)
table.insert(reply, 1, now_ms)
table.insert(reply, 1, 'OK')
return reply
