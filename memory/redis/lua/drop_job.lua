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
-- `drop_job` takes a job off the counts of its owners; whose it was is its second result. What was noted for too long goes first: it
-- was never taken in, or has ended and nobody said so.
local function drop_job(one)
  if redis.call('ZREM', pending_jobs, one) == 0 then return 0 end
  local whose = redis.call('HGET', owners, one) or ''
  for owner in whose:gmatch('[auk]:%S+') do
    if redis.call('HINCRBY', counts, owner, -1) <= 0 then redis.call('HDEL', counts, owner) end
  end
  redis.call('HDEL', owners, one)
  return 1, whose
end
for _, one in ipairs(redis.call('ZRANGEBYSCORE', pending_jobs, '-inf', now_ms, 'LIMIT', 0, 100)) do
  drop_job(one)
end
