-- What the lease says; how long it still lives; the mark of `job` (> 0: committed, < 0: cancelled
-- or dead, 0: not done); `first`: the job to wake and its envelope, both '' where there is none, and
-- how urgent its session is (`class_of`), which a normal one leaves out.
local held = redis.call('HMGET', lease, 'token', 'until', 'job', 'attempt', 'not_before',
  'lease_ms', 'delay_ms', 'interactive_until', 'batch_from', 'size')
local live_ms = held[1] and left_ms(lease, 'until', held[2], held[6]) or 0
local mark_ms = tonumber(redis.call('ZSCORE', done, job)) or 0
local function first()
  if live_ms > 0 then return '', '' end
  local head, at_us = unpack(redis.call('ZRANGE', queue, 0, 0, 'WITHSCORES'))
  if not head then return '', '' end
  return head, redis.call('HGET', jobs, head) or '', class_of(at_us, held[8], held[9])
end
