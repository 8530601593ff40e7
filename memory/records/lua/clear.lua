#!lua flags=allow-oom
-- CLEAR: remove a history and its summary, and nothing else: jobs that wait stay, and the turn that
-- runs becomes the first of the new history. Safe to repeat: a write id acts once in 10 minutes.
--
-- KEYS  history:list lease:hash write_ids:zset summary:hash archive:hash
-- ARGV  write_id dedupe_ms
-- dedupe_ms: TTL of a lease that has none
-- Returns
--   {'OK', messages}             how many messages were removed
--   {'REPEATED', messages}       this write has been done; nothing was removed
--   {'CORRUPT', key, type}       a key of another type; nothing was removed

-- include clock
-- include once
-- include new_history
return {'OK', messages}
