-- A history does not expire while a job waits that needs it. `expires_at` in the lease says when it
-- would have: `end_job` gives the TTL back.
local function keep_history()
  local left_ms = redis.call('PTTL', history)
  if left_ms < 0 then return end
  redis.call('PERSIST', history)
  redis.call('HSET', lease, 'expires_at', now_ms + left_ms)
end
-- `live` has a key live for `life_ms` at least, and for an hour more where that is written: so it is
-- not written with each step of a turn, into Redis' file too.
local function live(lasting, life_ms)
  if redis.call('PTTL', lasting) < tonumber(life_ms) then
    redis.call('PEXPIRE', lasting, life_ms + 3600000)
  end
end
