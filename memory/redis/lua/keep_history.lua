-- A history does not expire while a job waits that needs it. `expires_at` in the lease says when it
-- would have: `end_job` gives the TTL back. `noted`: fields of the lease that the caller writes.
local function keep_history(noted)
  local left_ms = redis.call('PTTL', history)
  if left_ms < 0 then return end
  redis.call('PERSIST', history)
  if not noted then redis.call('HSET', lease, 'expires_at', now_ms + left_ms)
  else
    table.insert(noted, 'expires_at')
    table.insert(noted, now_ms + left_ms)
  end
end
