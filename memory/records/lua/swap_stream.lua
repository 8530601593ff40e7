#!lua
-- SWAP_STREAM: write a stream anew under the ids that its entries have, unless one came or went
-- meanwhile: so each cursor means the same as before. Its TTL stays. Refused when Redis is out of
-- memory. Safe to repeat.
--
-- KEYS  events:stream
-- ARGV  length last_id entries...
-- length, last_id: what was read; entries: id, number of parts, field, value, …
-- Returns
--   {'OK', written}              how many entries; 0 where the stream is another one now
--   {'CORRUPT', key, type}       a key of another type; nothing was written

local last = redis.call('XREVRANGE', events, '+', '-', 'COUNT', 1)[1]
if not last or last[1] ~= last_id or redis.call('XLEN', events) ~= tonumber(length) then
  return {'OK', 0}
end
local left_ms = redis.call('PTTL', events)
redis.call('UNLINK', events)
local at = 3
while at <= #ARGV do
  local parts = tonumber(ARGV[at + 1])
  redis.call('XADD', events, ARGV[at], unpack(ARGV, at + 2, at + 1 + parts))
  at = at + 2 + parts
end
if left_ms > 0 then redis.call('PEXPIRE', events, left_ms) end
return {'OK', tonumber(length)}
