-- Removes a history with its summary. What is archived of it is not this session's any more. The
-- `rev` of the lease changes: so a turn or a summary that is being computed can find out that its
-- history is gone.
local removed = redis.call('UNLINK', history, summary, archive)
if redis.call('EXISTS', lease) == 1 then
  redis.call('HINCRBY', lease, 'rev', 1)
  redis.call('HDEL', lease, 'size')
  if redis.call('PTTL', lease) < 0 then redis.call('PEXPIRE', lease, dedupe_ms) end
end
