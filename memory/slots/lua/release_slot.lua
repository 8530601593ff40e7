#!lua flags=allow-oom
-- RELEASE_SLOT: release a slot. GRANT_SLOTS follows in the same pipeline: another session may wait.
-- Safe to repeat: 0.
--
-- KEYS  enqueued_at:hash call_stats:hash slots...:zset
-- ARGV  who took_ms ttl_ms
-- slots: of all servers; who: the lease token, or the session that the slot is reserved for;
-- took_ms: how long the slot was taken, '' for a reservation
-- Returns
--   1                            it is free
--   0                            there was none: released before, or expired
--   {'CORRUPT', key, type}       a key of another type; nothing was written

local left = 0
for i = 3, #KEYS do left = left + redis.call('ZREM', KEYS[i], who) end
if left == 0 then return 0 end
redis.call('HDEL', enqueued_at, who)
if took_ms ~= '' then
  -- Each call counts for a tenth at least, so that the mean follows a change.
  local weight = math.max(1 / redis.call('HINCRBY', call_stats, 'calls', 1), 0.1)
  local mean_ms = tonumber(redis.call('HGET', call_stats, 'mean_ms')) or 0
  redis.call('HSET', call_stats, 'mean_ms', mean_ms + (took_ms - mean_ms) * weight)
  redis.call('PEXPIRE', call_stats, ttl_ms)
end
return 1
