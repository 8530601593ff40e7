-- `end_job` marks a job as done and takes it out of the mailbox. Marks are kept for `dedupe_ms`.
local function end_job(one, mark_ms)
  redis.call('ZADD', done, mark_ms, one)
  redis.call('ZREMRANGEBYSCORE', done, dedupe_ms - now_ms, now_ms - dedupe_ms)
  redis.call('PEXPIRE', done, dedupe_ms)
  redis.call('ZREM', queue, one)
  redis.call('HDEL', jobs, one)
end
-- What the lease says of a head that is gone is not about the next one.
local function forget_attempt()
  redis.call('HDEL', lease, 'token', 'until', 'job', 'attempt', 'not_before', 'seq', 'failed',
    'woken_at', 'wakes', 'slot_wait_until', 'lease_ms', 'delay_ms', 'slot_wait_ms')
end
