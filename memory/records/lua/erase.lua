#!lua flags=allow-oom
-- ERASE: remove what a session of an agent holds of people's words: history, summary, events and
-- dead letters. While jobs wait or run, only history and summary go, as in CLEAR: the jobs stay
-- and are answered. The marks of done jobs stay too: they hold no words, and without them a late
-- message would run a job again. Safe to repeat.
--
-- KEYS  history:list queue:zset lease:hash events:stream dead:list summary:hash
-- ARGV  dedupe_ms
-- dedupe_ms: TTL of a lease that has none
-- Returns
--   {'OK', keys}                 how many keys were removed
--   {'PENDING', keys}            how many keys were removed; jobs wait
--   {'CORRUPT', key, type}       a key of another type; nothing was removed

if redis.call('ZCARD', queue) == 0 then
  return {'OK', redis.call('UNLINK', history, events, dead, summary)}
end
-- include new_history
return {'PENDING', removed}
