-- A history does not expire while a job waits that needs it. `expires_at` in the lease says when it
-- would have: `end_job` gives the TTL back.
local function keep_history()
  local left_ms = redis.call('PTTL', history)
  if left_ms < 0 then return end
  redis.call('PERSIST', history)
  redis.call('HSET', lease, 'expires_at', now_ms + left_ms)
end
