#!lua flags=allow-oom
-- ERASE: remove what a session of an agent holds of people's words: its history with its summary, its
-- events and its dead letters. While jobs wait or run, only the history goes, as in CLEAR: they stay and are
-- answered. The marks of done jobs stay for their own time; they hold no words, and without them a
-- late message would run a job again. Safe to repeat.
--
-- KEYS  history queue lease events dead summary
-- ARGV  dedupe_ms
-- dedupe_ms: TTL of a lease that has none
-- Returns
--   {'OK', keys}                 so many keys were removed
--   {'PENDING', keys}            so many keys were removed; jobs wait
--   {'CORRUPT', key, type}       a key of another type; nothing was removed
for i, kind in ipairs({'list', 'zset', 'hash', 'stream', 'list', 'hash'}) do
  local found = redis.call('TYPE', KEYS[i]).ok
  if found ~= kind and found ~= 'none' then return {'CORRUPT', KEYS[i], found} end
end
local history, queue, lease, events, dead, summary = unpack(KEYS)
if redis.call('ZCARD', queue) == 0 then
  return {'OK', redis.call('UNLINK', history, events, dead, summary)}
end
local removed = redis.call('UNLINK', history, summary)
if redis.call('EXISTS', lease) == 1 then
  redis.call('HINCRBY', lease, 'rev', 1)
  if redis.call('PTTL', lease) < 0 then redis.call('PEXPIRE', lease, ARGV[1]) end
end
return {'PENDING', removed}
