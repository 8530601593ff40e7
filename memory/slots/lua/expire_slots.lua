#!lua flags=allow-oom
-- EXPIRE_SLOTS: free the slots whose lease has expired: the holder is gone, or the session that the
-- slot was reserved for did not come. Such a session waits again, where it waited before.
-- A slot that ends later than one can be stored for was stored before the server's clock was set
-- back; it ends then. GRANT_SLOTS follows in the same pipeline. Safe to repeat.
--
-- KEYS  waiters:zset round_robin:zset enqueued_at:hash slots...:zset
-- ARGV  lease_ms most_reserve_ms ttl_ms
-- slots: of all servers; lease_ms, most_reserve_ms: for how long a slot is taken, and reserved at
-- most
-- Returns
--   {'OK', slots}                how many are free again
--   {'CORRUPT', key, type}       a key of another type; nothing was written

-- include clock
-- include classes
local freed = 0
for i = 4, #KEYS do
  for _, who in ipairs(redis.call('ZRANGEBYSCORE', KEYS[i], '-inf', now_ms)) do
    freed = freed + redis.call('ZREM', KEYS[i], who)
    -- Only a session with a reservation has an entry here; a token has none.
    local mark, arrived = string.match(redis.call('HGET', enqueued_at, who) or '', '^([!#]?)(%d+)$')
    if arrived then
      redis.call('ZADD', waiters, 0, mark .. string.gsub(who, ':', ':' .. arrived .. ':', 1))
      join_round(mark .. string.match(who, '^[^:]*'))
    end
  end
  for _, who in ipairs(redis.call('ZRANGEBYSCORE', KEYS[i], now_ms, 'inf')) do
    local most_ms = redis.call('HEXISTS', enqueued_at, who) == 1 and most_reserve_ms or lease_ms
    redis.call('ZADD', KEYS[i], 'LT', now_ms + most_ms, who)
  end
end
for i = 1, 3 do redis.call('PEXPIRE', KEYS[i], ttl_ms) end
return {'OK', freed}
