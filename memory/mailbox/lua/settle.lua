#!lua flags=allow-oom
-- SETTLE: after a look at a mailbox, put off its next look or drop its entry, unless SCHEDULE came
-- meanwhile. Only an entry with a fractional score is dropped: its mailbox was idle twice, ten
-- minutes apart, and no producer pauses for longer than that between SCHEDULE and ENQUEUE.
-- Safe to repeat: 0.
--
-- KEYS  due:zset?
-- ARGV  member seen_ms delay_ms is_idle
-- seen_ms: the score that was read; delay_ms: from now to the next look, 'drop' for none;
-- is_idle: 1 makes the score fractional, 0 does not
-- Returns
--   1                            done
--   0                            the entry has changed, or may not be dropped; nothing was written
--   {'CORRUPT', key, type}       a key of another type; nothing was written

-- include clock
local old_ms = tonumber(redis.call('ZSCORE', due, member))
if not old_ms or old_ms ~= tonumber(seen_ms) then return 0 end
if delay_ms == 'drop' then
  return old_ms % 1 ~= 0 and redis.call('ZREM', due, member) or 0
end
local at_ms = now_ms + math.ceil(delay_ms) + is_idle * 0.5
-- Only SCHEDULE makes a look earlier.
if at_ms <= old_ms then return 0 end
redis.call('ZADD', due, at_ms, member)
return 1
