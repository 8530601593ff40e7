-- The list holds the server's time as the score of a member without a name, which is never due.
-- Where the clock was set back, all entries go back with it: once, whichever script comes first.
local far_ms, clock = 4000000000000000, ''
local noted = tonumber(redis.call('ZSCORE', due, clock)) or 0
local passed_ms = now_ms - (noted - far_ms)
if noted > 0 and passed_ms < -1000 then
  local entries = redis.call('ZRANGEBYSCORE', due, '-inf', '(4000000000000000', 'WITHSCORES')
  for i = 1, #entries, 2 do redis.call('ZADD', due, entries[i + 1] + passed_ms, entries[i]) end
end
if math.abs(passed_ms) > 1000 then redis.call('ZADD', due, far_ms + now_ms, clock) end
