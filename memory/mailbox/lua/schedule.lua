#!lua flags=allow-oom
-- SCHEDULE: have a sweeper look at a mailbox in `delay_ms`. It is sent BEFORE the operation that it
-- guards: a caller that dies in between leaves an entry, never a forgotten mailbox. The score of
-- an entry only gets lower, and that of one that is due changes: so a busy sender cannot put a look
-- off, and a sweeper, which raises or drops only what has not changed, notices the new SCHEDULE.
--
-- KEYS  due:zset?
-- ARGV  member delay_ms
-- Returns
--   {'OK', now_ms}               noted; the server's time
--   {'CORRUPT', key, type}       a key of another type; nothing was written

-- include clock
-- include due_clock
local at_ms = now_ms + delay_ms
local old_ms = tonumber(redis.call('ZSCORE', due, member))
-- Nobody has read a score that is not due yet, even where the clock went back by as little as moves
-- no entry. Such a one stays, where it is early enough and not that of an idle mailbox.
local is_unread = old_ms and old_ms > now_ms + 1000
if is_unread and old_ms <= at_ms and old_ms % 1 == 0 then return {'OK', now_ms} end
-- One less at least, so that a sweeper that read the old score finds it changed.
if old_ms then at_ms = math.min(old_ms - 1, at_ms) end
redis.call('ZADD', due, math.floor(at_ms), member)
return {'OK', now_ms}
