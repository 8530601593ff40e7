#!lua flags=allow-oom
-- NOTE_LATE: note that the outbox of a session has ends for long. Each note has a score that no
-- note of the session had before, so whoever has read an earlier one does not forget the session: a
-- count would begin anew once a session was forgotten, and a time alone may come again after the
-- clock was set back.
--
-- KEYS  outboxes:zset
-- ARGV  session
-- Returns
--   {'OK', us}                   the score: when it was noted
--   {'CORRUPT', key, type}       a key of another type; nothing was written

-- include clock
local before_us = tonumber(redis.call('ZSCORE', outboxes, session)) or 0
local at_us = math.max(before_us + 1, now_us)
redis.call('ZADD', outboxes, string.format('%.0f', at_us), session)
return {'OK', at_us}
