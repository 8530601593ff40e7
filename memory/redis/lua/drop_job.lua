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
