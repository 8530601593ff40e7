-- The list holds the server's time as the score of a member without a name, which is never due.
-- Where the clock was set back, all entries go back with it: once, whichever script comes first.
-- What is not idle is due at once: the look ends what was stored for too long (`left_ms`).
local far_ms, clock = 4000000000000000, ''
local noted = tonumber(redis.call('ZSCORE', due, clock)) or 0
local passed_ms = now_ms - (noted - far_ms)
if noted > 0 and passed_ms < -1000 then
  local entries = redis.call('ZRANGEBYSCORE', due, '-inf', '(4000000000000000', 'WITHSCORES')
  for i = 1, #entries, 2 do
    local at_ms = entries[i + 1] + passed_ms
    if at_ms % 1 == 0 then at_ms = math.min(at_ms, now_ms) end
    redis.call('ZADD', due, at_ms, entries[i])
  end
end
if math.abs(passed_ms) > 1000 then redis.call('ZADD', due, far_ms + now_ms, clock) end
