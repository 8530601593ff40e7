#!lua
-- REPLACE: write other messages over a history, in one step. Its summary goes. Jobs that wait stay,
-- and the turn that runs is committed behind the new messages. Refused when Redis is out of memory.
-- Safe to repeat: a write id acts once in 10 minutes.
--
-- KEYS  history:list queue:zset lease:hash write_ids:zset summary:hash delayed:zset archive:hash
-- ARGV  write_id ttl_ms dedupe_ms records...
-- dedupe_ms: TTL of a lease that has none; records: at least one
-- Returns
--   {'OK', before}               how many messages were replaced
--   {'REPEATED', messages}       this write has been done; nothing was written
--   {'CORRUPT', key, type}       a key of another type; nothing was written

-- include clock
-- include once
-- include keep_history
-- include new_history
local part = 1000
for first = 4, #ARGV, part do
  redis.call('RPUSH', history, unpack(ARGV, first, math.min(first + part - 1, #ARGV)))
end
redis.call('PEXPIRE', history, ttl_ms)
-- A TTL that is given to the history of a session in which a job waits counts once that is over.
if redis.call('EXISTS', queue, delayed) > 0 and redis.call('EXISTS', lease) == 1 then
  keep_history()
end
return {'OK', messages}
