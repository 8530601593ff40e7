#!lua
-- NOTE_FIELDS: note the names of a session's data and when each expires, so that they can be found
-- again without a scan. Drops names whose time has passed; the key lives as long as the last of
-- them. Safe to repeat.
--
-- KEYS  fields
-- ARGV  ttl_ms is_exact name...
-- ttl_ms: counted from now, by the server's clock; it only lengthens unless is_exact is 1
-- Returns
--   {'OK', names}                so many names now
--   {'CORRUPT', key, type}       a key of another type; nothing was written
local found = redis.call('TYPE', KEYS[1]).ok
if found ~= 'zset' and found ~= 'none' then return {'CORRUPT', KEYS[1], found} end
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
local until_ms = now_ms + tonumber(ARGV[1])
for i = 3, #ARGV do
  if ARGV[2] == '1' then
    redis.call('ZADD', KEYS[1], until_ms, ARGV[i])
  else
    redis.call('ZADD', KEYS[1], 'GT', until_ms, ARGV[i])
  end
end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now_ms)
local last = redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')
if last[2] then redis.call('PEXPIREAT', KEYS[1], last[2]) end
return {'OK', redis.call('ZCARD', KEYS[1])}
