#!lua flags=allow-oom
-- DUE: the mailboxes at which someone should look by now, the longest due first.
--
-- KEYS  due
-- ARGV  limit now_us
-- now_us is the server's TIME where it is ''
-- Returns
--   {'OK', history_key, at_ms, history_key, at_ms, …}  at_ms as the server writes it
--   {'CORRUPT', key, type}       a key of another type
local found = redis.call('TYPE', KEYS[1]).ok
if found ~= 'zset' and found ~= 'none' then return {'CORRUPT', KEYS[1], found} end
local time = redis.call('TIME')
local now_ms = math.floor((tonumber(ARGV[2]) or time[1] * 1000000 + time[2]) / 1000)

local reply = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now_ms, 'WITHSCORES',
  'LIMIT', 0, ARGV[1])
table.insert(reply, 1, 'OK')
return reply
