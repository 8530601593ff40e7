#!lua flags=allow-oom
-- ARCHIVE_LOOK: whether the archive is to take messages of a session. A history whose TTL is from
-- before there was an archive gets the time in which it waits for that, and does not expire.
-- Safe to repeat.
--
-- KEYS  history:list lease:hash
-- ARGV  keep most_bytes hold_ms
-- keep, most_bytes: what stays of a history that is in use; hold_ms: what a TTL is longer by than
-- the time that was promised
-- Returns
--   {'OK', overdue_ms}           0: nothing is to be taken; else for how long, 1 at least
--   {'CORRUPT', key, type}       a key of another type; nothing was written

local messages, left_ms = redis.call('LLEN', history), redis.call('PTTL', history)
if messages == 0 then return {'OK', 0} end
if left_ms >= 0 and left_ms < hold_ms / 2 then
  left_ms = left_ms + hold_ms
  redis.call('PEXPIRE', history, left_ms)
end
if left_ms >= 0 and left_ms <= tonumber(hold_ms) then
  return {'OK', math.max(1, hold_ms - left_ms)}
end
if messages > tonumber(keep) then return {'OK', 1} end
-- The size as the lease notes it: to count it anew each time would read all that there is.
local noted = redis.call('HGET', lease, 'size') or ''
local bytes = tonumber(noted:match('^%d+ (%d+)$')) or 0
if messages > 1 and bytes > tonumber(most_bytes) then return {'OK', 1} end
return {'OK', 0}
