#!lua flags=allow-oom
-- SETTLE: after a look at a mailbox, put off its next look or drop its entry, unless someone sent
-- LOOK meanwhile. Dropped is only an entry with a fractional score: it was found idle twice, ten
-- minutes apart, and a producer may have paused between LOOK and ENQUEUE for no longer than that.
-- Safe to repeat: 0.
--
-- KEYS  due
-- ARGV  history_key seen_ms delay_ms is_idle now_us
-- seen_ms: the score that was read; delay_ms: the next look is so long from now, 'drop' for none;
-- is_idle: 1 makes the score fractional, 0 does not; now_us is the server's TIME where it is ''
-- Returns
--   1                            done
--   0                            the entry has changed, or may not be dropped; nothing was written
--   {'CORRUPT', key, type}       a key of another type; nothing was written
local found = redis.call('TYPE', KEYS[1]).ok
if found ~= 'zset' and found ~= 'none' then return {'CORRUPT', KEYS[1], found} end
local history_key, seen_ms, delay_ms, is_idle, now_us = unpack(ARGV)
local time = redis.call('TIME')
local now_ms = math.floor((tonumber(now_us) or time[1] * 1000000 + time[2]) / 1000)

local old_ms = tonumber(redis.call('ZSCORE', KEYS[1], history_key))
if not old_ms or old_ms ~= tonumber(seen_ms) then return 0 end
if delay_ms == 'drop' then
  return old_ms % 1 ~= 0 and redis.call('ZREM', KEYS[1], history_key) or 0
end
local at_ms = now_ms + math.ceil(delay_ms) + is_idle * 0.5
if at_ms <= old_ms then return 0 end
redis.call('ZADD', KEYS[1], at_ms, history_key)
return 1
