#!lua flags=allow-oom
-- DELIVERED: take ends out of a session's outbox, each only if it is the one that was delivered: of
-- a job that was erased meanwhile the result must be stored once more. Safe to repeat.
--
-- KEYS  outbox:hash
-- ARGV  pairs...
-- pairs: job, type, job, type, …; type: that of the last event that was delivered
-- Returns
--   {'OK', ends}                 how many were taken out
--   {'CORRUPT', key, type}       a key of another type; nothing was removed

local removed = 0
for i = 1, #ARGV, 2 do
  local stored = redis.call('HGET', outbox, ARGV[i]) or ''
  if stored:match('^%d+ %d+ %S+ %d+ {"type":"(%l+)"') == ARGV[i + 1] then
    removed = removed + redis.call('HDEL', outbox, ARGV[i])
  end
end
return {'OK', removed}
