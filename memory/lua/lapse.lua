#!lua flags=allow-oom
-- LAPSE: take places back whose holder gave no sign of life, or whose session did not come when it
-- was called; that one stands in line again, where it stood. CALL follows, in the same pipeline.
-- Safe to repeat.
--
-- KEYS  line turns arrivals places...
-- ARGV  ttl_ms now_us
-- places: of all servers; now_us is the server's TIME where it is ''
-- Returns
--   {'OK', places}               so many are free again
--   {'CORRUPT', key, type}       a key of another type; nothing was written
for i, key in ipairs(KEYS) do
  local found = redis.call('TYPE', key).ok
  local kind = i == 3 and 'hash' or 'zset'
  if found ~= kind and found ~= 'none' then return {'CORRUPT', key, found} end
end
local line, turns, arrivals = unpack(KEYS)
local time = redis.call('TIME')
local now_ms = math.floor((tonumber(ARGV[2]) or time[1] * 1000000 + time[2]) / 1000)

local freed = 0
for i = 4, #KEYS do
  for _, who in ipairs(redis.call('ZRANGEBYSCORE', KEYS[i], '-inf', now_ms)) do
    freed = freed + redis.call('ZREM', KEYS[i], who)
    local arrived = redis.call('HGET', arrivals, who)
    if arrived then
      redis.call('ZADD', line, 0, (string.gsub(who, ':', ':' .. arrived .. ':', 1)))
      local last = redis.call('ZRANGE', turns, -1, -1, 'WITHSCORES')
      redis.call('ZADD', turns, 'NX', (tonumber(last[2]) or 0) + 1, string.match(who, '^[^:]*'))
    end
  end
end
for i = 1, 3 do redis.call('PEXPIRE', KEYS[i], ARGV[1]) end
return {'OK', freed}
