#!lua flags=allow-oom
-- NOTE_LATE: note that the outbox of a session has ends for long. Each note changes the score, so
-- whoever has read it before does not forget the session; a time would not do after the clock was
-- set back.
--
-- KEYS  outboxes:zset
-- ARGV  session
-- Returns
--   {'OK', notes}                how often it was noted, with this time
--   {'CORRUPT', key, type}       a key of another type; nothing was written

return {'OK', tonumber(redis.call('ZINCRBY', outboxes, 1, session))}
