-- What the lease says; how long it still lives; the mark of `job` (> 0: committed, < 0: cancelled
-- or dead, 0: not done); `first`: the job to wake and its envelope, both '' where there is none.
local held = redis.call('HMGET', lease, 'token', 'until', 'job', 'attempt', 'not_before',
  'lease_ms', 'delay_ms')
local live_ms = held[1] and left_ms(lease, 'until', held[2], held[6]) or 0
local mark_ms = tonumber(redis.call('ZSCORE', done, job)) or 0
local function first()
  local head = live_ms <= 0 and redis.call('ZRANGE', queue, 0, 0)[1]
  return head or '', head and redis.call('HGET', jobs, head) or ''
end
