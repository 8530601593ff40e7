#!lua flags=allow-oom
-- EXTEND_VALUE: let one value live at least `ttl_ms` longer, unless it was given a TTL of its own:
-- such a value ends with a line feed, which JSON does not mind. A TTL is never shortened, and a key
-- without one stays without. Safe to repeat.
--
-- KEYS  value:string
-- ARGV  ttl_ms
-- Returns
--   {'OK', found}                0: gone; 1: lives as long as the session; 2: has a TTL of its own
--   {'CORRUPT', key, type}       a key of another type; nothing was written

if redis.call('EXISTS', value) == 0 then return {'OK', 0} end
if redis.call('GETRANGE', value, -1, -1) == '\n' then return {'OK', 2} end
redis.call('PEXPIRE', value, ttl_ms, 'GT')
return {'OK', 1}
