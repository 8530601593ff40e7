#!lua flags=allow-oom
-- RENEW: prolong the lease of the holder of `token`, also one that ended and nobody else took.
-- Safe to repeat.
--
-- KEYS  lease
-- ARGV  token lease_ms dedupe_ms now_us
-- now_us is the server's TIME where it is ''
-- Returns
--   1                            the lease ends `lease_ms` from now
--   0                            lost: stop the stream, its output will be refused
--   {'CORRUPT', key, type}       a key of another type; nothing was written
local found = redis.call('TYPE', KEYS[1]).ok
if found ~= 'hash' and found ~= 'none' then return {'CORRUPT', KEYS[1], found} end
local time = redis.call('TIME')
local now_ms = math.floor((tonumber(ARGV[4]) or time[1] * 1000000 + time[2]) / 1000)

if redis.call('HGET', KEYS[1], 'token') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'until', now_ms + ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
