#!lua flags=allow-oom
-- DELIVERED: take ends out of a session's outbox, each only if it is the one that was delivered.
-- The result of a job that was erased meanwhile must be stored once more: somebody may have stored
-- it as erased before a slow deliverer stored the reply. Safe to repeat.
--
-- KEYS  outbox:hash? requests:hash?
-- ARGV  pairs...
-- pairs: job, type, job, type, …; type: that of the last event that was delivered
-- Returns
--   {'OK', job…}                 the jobs that were erased, of those delivered otherwise
--   {'CORRUPT', key, type}       a key of another type; nothing was removed

local reply = {'OK'}
for i = 1, #ARGV, 2 do
  local is_erased = redis.call('HGET', requests, ARGV[i]) == 'erased'
  local stored = redis.call('HGET', outbox, ARGV[i]) or ''
  if stored:match('^%d+ %d+ %S+ %d+ {"type":"(%l+)"') == ARGV[i + 1] then
    redis.call('HDEL', outbox, ARGV[i])
  end
  if ARGV[i + 1] ~= 'erased' and is_erased then table.insert(reply, ARGV[i]) end
end
return reply
