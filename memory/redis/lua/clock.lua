-- The server's clock: no other is shared by all workers.
local time = redis.call('TIME')
local now_us = time[1] * 1000000 + time[2]
local now_ms = math.floor(now_us / 1000)
-- How long it is until a time that a hash holds, in ms, but never longer than the time was stored
-- for. Where it was, the clock was set back since then: the time is stored anew, once. A time
-- without a length is past.
local function left_ms(hash, field, at_ms, most_ms)
  local left = (tonumber(at_ms) or 0) - now_ms
  most_ms = tonumber(most_ms) or 0
  if left <= most_ms then return left end
  redis.call('HSET', hash, field, now_ms + most_ms)
  return most_ms
end
