#!lua
-- NOTE_FIELDS: note the names of a session's data and when each expires, so that they can be found
-- again without a scan. Drops names whose time has passed; the key lives as long as the last of
-- them. Safe to repeat.
--
-- KEYS  fields:zset
-- ARGV  ttl_ms is_exact names...
-- ttl_ms: counted from now, by the server's clock; it only lengthens unless is_exact is 1
-- Returns
--   {'OK', names}                how many names there are now
--   {'CORRUPT', key, type}       a key of another type; nothing was written

-- include clock
local until_ms = now_ms + ttl_ms
for i = 3, #ARGV do
  if is_exact == '1' then
    redis.call('ZADD', fields, until_ms, ARGV[i])
  else
    redis.call('ZADD', fields, 'GT', until_ms, ARGV[i])
  end
end
redis.call('ZREMRANGEBYSCORE', fields, '-inf', now_ms)
local last = redis.call('ZRANGE', fields, -1, -1, 'WITHSCORES')
-- Another program may have written any score: none is believed beyond the longest TTL, a century.
local most_ms = now_ms + 3153600000000
if last[2] then redis.call('PEXPIREAT', fields, math.min(tonumber(last[2]), most_ms)) end
return {'OK', redis.call('ZCARD', fields)}
