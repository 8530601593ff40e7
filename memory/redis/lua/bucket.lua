-- A bucket is kept as the time at which it is full again, so it fills without anybody's doing.
-- `busy_ms` is how long that takes from now; `keep_busy` notes it.
local minute_ms, day_ms = 60000, 86400000
local function busy_ms(bucket, what)
  local noted = redis.call('HMGET', bucket, what .. '_until', what .. '_ms')
  return math.max(0, left_ms(bucket, what .. '_until', noted[1], noted[2]))
end
local function keep_busy(bucket, what, busy)
  -- The server writes a number with 14 digits, which is too few for the tokens of a large quota.
  redis.call('HSET', bucket, what .. '_until', string.format('%.3f', now_ms + busy),
    what .. '_ms', string.format('%.3f', busy + 1))
  redis.call('PEXPIRE', bucket, math.max(1, math.ceil(busy), redis.call('PTTL', bucket)))
end
