#!lua flags=allow-oom
-- EXPIRE_SLOTS: free the slots whose holder gave no sign of life, and those granted to a session that
-- did not come; it waits again, where it waited before. GRANT_SLOTS follows, in the same pipeline.
-- Safe to repeat.
--
-- KEYS  waiters round_robin enqueued_at slots...
-- ARGV  ttl_ms now_us
-- slots: of all servers; now_us is the server's TIME where it is ''
-- Returns
--   {'OK', slots}                so many are free again
--   {'CORRUPT', key, type}       a key of another type; nothing was written
for i, key in ipairs(KEYS) do
  local found = redis.call('TYPE', key).ok
  local kind = i == 3 and 'hash' or 'zset'
  if found ~= kind and found ~= 'none' then return {'CORRUPT', key, found} end
end
local waiters, round_robin, enqueued_at = unpack(KEYS)
local time = redis.call('TIME')
local now_ms = math.floor((tonumber(ARGV[2]) or time[1] * 1000000 + time[2]) / 1000)

local freed = 0
for i = 4, #KEYS do
  for _, who in ipairs(redis.call('ZRANGEBYSCORE', KEYS[i], '-inf', now_ms)) do
    freed = freed + redis.call('ZREM', KEYS[i], who)
    local arrived = redis.call('HGET', enqueued_at, who)
    if arrived then
      redis.call('ZADD', waiters, 0, (string.gsub(who, ':', ':' .. arrived .. ':', 1)))
      local last = redis.call('ZRANGE', round_robin, -1, -1, 'WITHSCORES')
      local agent = string.match(who, '^[^:]*')
      redis.call('ZADD', round_robin, 'NX', (tonumber(last[2]) or 0) + 1, agent)
    end
  end
end
for i = 1, 3 do redis.call('PEXPIRE', KEYS[i], ARGV[1]) end
return {'OK', freed}
