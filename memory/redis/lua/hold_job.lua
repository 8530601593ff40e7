-- `hold_job` counts a job for its owners until `held_ms` from now; one that is counted already only
-- for longer. 1: it is new, 0: it was counted.
local function hold_job(one, its_owners, held_ms)
  local is_new = redis.call('ZADD', pending_jobs, 'NX', now_ms + held_ms, one)
  if is_new == 0 then redis.call('ZADD', pending_jobs, 'GT', now_ms + held_ms, one)
  else
    redis.call('HSET', owners, one, its_owners)
    for owner in its_owners:gmatch('[auk]:%S+') do redis.call('HINCRBY', counts, owner, 1) end
  end
  -- Longer than any job counts. All three keys begin and end with the first and the last job.
  if redis.call('PTTL', pending_jobs) < 1.5 * pending_ms then
    for i = 1, 3 do redis.call('PEXPIRE', KEYS[i], 2 * pending_ms) end
  end
  return is_new
end
