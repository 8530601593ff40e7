#!lua flags=allow-oom
-- EXTEND: let a session's keys live at least `ttl_ms` longer. A TTL is never shortened, and a key
-- without one stays without. Safe to repeat.
--
-- KEYS  history:list events:stream summary:hash
-- ARGV  ttl_ms
-- Returns
--   {'OK', keys}                 how many of the keys exist
--   {'CORRUPT', key, type}       a key of another type; nothing was written

redis.call('PEXPIRE', history, ttl_ms, 'GT')
redis.call('PEXPIRE', summary, ttl_ms, 'GT')
-- Not the time that a history waits for its archive.
redis.call('PEXPIRE', events, ttl_ms % 31536000000000, 'GT')
return {'OK', redis.call('EXISTS', unpack(KEYS))}
