#!lua flags=allow-oom
-- EXTEND: let a session's keys live at least `ttl_ms` longer. A TTL is never shortened, and a key
-- without one stays without. Safe to repeat.
--
-- KEYS  history events summary
-- ARGV  ttl_ms
-- Returns
--   {'OK', keys}                 so many of the keys exist
--   {'CORRUPT', key, type}       a key of another type; nothing was written
for i, kind in ipairs({'list', 'stream', 'hash'}) do
  local found = redis.call('TYPE', KEYS[i]).ok
  if found ~= kind and found ~= 'none' then return {'CORRUPT', KEYS[i], found} end
end
for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, ARGV[1], 'GT') end
return {'OK', redis.call('EXISTS', unpack(KEYS))}
