#!lua flags=allow-oom
-- RENEW_SLOT: prolong a slot that is taken, also one that has expired and was not granted again.
-- Safe to repeat.
--
-- KEYS  slots...:zset
-- ARGV  token lease_ms ttl_ms
-- slots: of all servers
-- Returns
--   1                            it ends `lease_ms` from now
--   0                            lost: stop the call, another session may have the slot
--   {'CORRUPT', key, type}       a key of another type; nothing was written

-- include clock
local is_held = 0
for _, slots in ipairs(KEYS) do
  if redis.call('ZSCORE', slots, token) then
    redis.call('ZADD', slots, now_ms + lease_ms, token)
    redis.call('PEXPIRE', slots, ttl_ms)
    is_held = 1
  end
end
return is_held
