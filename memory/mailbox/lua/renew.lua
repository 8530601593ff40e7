#!lua flags=allow-oom
-- RENEW: prolong the lease of `token`, also one that has expired but that no other worker took.
-- Safe to repeat.
--
-- KEYS  lease:hash?
-- ARGV  token lease_ms dedupe_ms
-- Returns
--   1                            the lease ends `lease_ms` from now
--   0                            lost: stop the stream, its output will be refused
--   {'CORRUPT', key, type}       a key of another type; nothing was written

-- include clock
if redis.call('HGET', lease, 'token') ~= token then return 0 end
redis.call('HSET', lease, 'until', now_ms + lease_ms, 'lease_ms', lease_ms)
if redis.call('PTTL', lease) < tonumber(dedupe_ms) then
  redis.call('PEXPIRE', lease, dedupe_ms + 3600000)
end
return 1
