#!lua flags=allow-oom
-- CLEAN: delete the conversation of a session that nobody used for `idle_ms`. The marks of its done
-- jobs, its dead letters and its lease stay for their own time: without the marks a late message
-- would run a job again. Whether the history was used is the server's own note of its last access;
-- without one (an LFU policy) it counts as used. Safe to repeat.
--
-- KEYS  history queue lease events summary
-- ARGV  idle_ms now_us
-- now_us is the server's TIME where it is ''
-- Returns
--   {'PENDING', jobs}            work is waiting; nothing was deleted
--   {'BUSY', ms}                 a lease lives so long; nothing was deleted
--   {'FRESH', idle_ms}           used so long ago only; nothing was deleted
--   {'DELETED', keys}            so many keys, 0 where there was nothing
--   {'CORRUPT', key, type}       a key of another type; nothing was deleted
for i, kind in ipairs({'list', 'zset', 'hash', 'stream', 'hash'}) do
  local found = redis.call('TYPE', KEYS[i]).ok
  if found ~= kind and found ~= 'none' then return {'CORRUPT', KEYS[i], found} end
end
local history, queue, lease, events, summary = unpack(KEYS)
local time = redis.call('TIME')
local now_ms = math.floor((tonumber(ARGV[2]) or time[1] * 1000000 + time[2]) / 1000)

local pending = redis.call('ZCARD', queue)
if pending > 0 then return {'PENDING', pending} end
local held = redis.call('HMGET', lease, 'token', 'until', 'last')
local live_ms = held[1] and (tonumber(held[2]) or 0) - now_ms or 0
if live_ms > 0 then return {'BUSY', live_ms} end
local idle_ms = now_ms - math.floor((tonumber(held[3]) or 0) / 1000)
if redis.call('EXISTS', history) == 1 then
  local idle_s = redis.pcall('OBJECT', 'IDLETIME', history)
  if type(idle_s) ~= 'number' then idle_s = 0 end
  idle_ms = math.min(idle_ms, idle_s * 1000)
end
if idle_ms < tonumber(ARGV[1]) then return {'FRESH', idle_ms} end
return {'DELETED', redis.call('UNLINK', history, events, summary)}
