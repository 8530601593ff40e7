#!lua flags=allow-oom
-- EXTEND: let a session's keys live at least `ttl_ms` longer. A TTL is never shortened, and a key
-- without one stays without. Safe to repeat.
--
-- KEYS  history:list events:stream summary:hash
-- ARGV  ttl_ms
-- Returns
--   {'OK', keys}                 how many of the keys exist
--   {'CORRUPT', key, type}       a key of another type; nothing was written

for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, ttl_ms, 'GT') end
return {'OK', redis.call('EXISTS', unpack(KEYS))}
