#!lua flags=allow-oom
-- LEAVE: give a place back. CALL follows, in the same pipeline: somebody may wait for it.
-- Safe to repeat: 0.
--
-- KEYS  arrivals pace places...
-- ARGV  who took_ms ttl_ms
-- places: of all servers; who: the holder's token, or the session for which a place is kept in
-- vain; took_ms: how long the place was taken, '' where that says nothing of a call
-- Returns
--   1                            it is free
--   0                            there was none: it was left before, or given away
--   {'CORRUPT', key, type}       a key of another type; nothing was written
for i, key in ipairs(KEYS) do
  local found = redis.call('TYPE', key).ok
  if found ~= (i <= 2 and 'hash' or 'zset') and found ~= 'none' then
    return {'CORRUPT', key, found}
  end
end
local arrivals, pace = unpack(KEYS)
local who, took_ms, ttl_ms = unpack(ARGV)

local left = 0
for i = 3, #KEYS do left = left + redis.call('ZREM', KEYS[i], who) end
if left == 0 then return 0 end
redis.call('HDEL', arrivals, who)
if took_ms ~= '' then
  local weight = math.max(1 / redis.call('HINCRBY', pace, 'calls', 1), 0.1)
  local mean_ms = tonumber(redis.call('HGET', pace, 'mean_ms')) or 0
  redis.call('HSET', pace, 'mean_ms', mean_ms + (took_ms - mean_ms) * weight)
  redis.call('PEXPIRE', pace, ttl_ms)
end
return 1
