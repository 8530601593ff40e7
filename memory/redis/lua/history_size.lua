-- `history_bytes` says how many bytes the messages have. The lease notes it with how many messages
-- they were (`noted`: that note, where the caller has it): where another program has written since,
-- they are counted anew.
local function bytes_of(from, to)
  local bytes, part = 0, 100
  for first = from, to, part do
    local some = redis.call('LRANGE', history, first, math.min(first + part - 1, to))
    for _, message in ipairs(some) do bytes = bytes + #message end
  end
  return bytes
end
local function history_bytes(noted)
  local messages = redis.call('LLEN', history)
  local counted, bytes = (noted or redis.call('HGET', lease, 'size') or ''):match('^(%d+) (%d+)$')
  if tonumber(counted) == messages then return tonumber(bytes) end
  return bytes_of(0, messages - 1)
end
