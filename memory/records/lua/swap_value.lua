#!lua
-- SWAP_VALUE: write a value anew, unless it was written meanwhile. Its TTL stays. Refused when
-- Redis is out of memory. Safe to repeat: 0.
--
-- KEYS  value:string
-- ARGV  old new
-- Returns
--   {'OK', written}              1, or 0 where it is another value now
--   {'CORRUPT', key, type}       a key of another type; nothing was written

if redis.call('GET', value) ~= old then return {'OK', 0} end
redis.call('SET', value, new, 'KEEPTTL')
return {'OK', 1}
