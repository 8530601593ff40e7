#!lua flags=allow-oom
-- LOOK: have someone look at a mailbox in `delay_ms`. It is sent BEFORE the operation that it
-- guards, so that a caller dying in between leaves an entry, never a forgotten mailbox.
-- An entry that is there only gets lower, and always changes: a busy sender cannot put a look off,
-- and the sweeper, which raises or drops only what has not changed, notices it.
--
-- KEYS  due
-- ARGV  history_key delay_ms now_us
-- now_us is the server's TIME where it is ''
-- Returns
--   {'OK', at_ms}                the score now, an integer
--   {'CORRUPT', key, type}       a key of another type; nothing was written
local found = redis.call('TYPE', KEYS[1]).ok
if found ~= 'zset' and found ~= 'none' then return {'CORRUPT', KEYS[1], found} end
local time = redis.call('TIME')
local now_us = tonumber(ARGV[3]) or time[1] * 1000000 + time[2]

local at_ms = math.floor(now_us / 1000) + tonumber(ARGV[2])
local old_ms = redis.call('ZSCORE', KEYS[1], ARGV[1])
if old_ms then at_ms = math.min(tonumber(old_ms) - 1, at_ms) end
at_ms = math.floor(at_ms)
redis.call('ZADD', KEYS[1], at_ms, ARGV[1])
return {'OK', at_ms}
