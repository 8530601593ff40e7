#!lua
-- REPLACE: put other messages in the place of a history, in one step. Only the history changes, and its summary goes:
-- jobs that wait stay, and a running turn is committed onto what is there then; the revision in the
-- lease tells that it was computed from something else. Refused when Redis is out of memory.
-- Safe to repeat: a write id acts once in 10 minutes.
--
-- KEYS  history lease write_ids summary
-- ARGV  write ttl_ms dedupe_ms records...
-- dedupe_ms: TTL of a lease that has none; records: at least one
-- Returns
--   {'OK', before}               so many messages were replaced
--   {'REPEATED', messages}       this write has been done; nothing was written
--   {'CORRUPT', key, type}       a key of another type; nothing was written
for i, kind in ipairs({'list', 'hash', 'zset', 'hash'}) do
  local found = redis.call('TYPE', KEYS[i]).ok
  if found ~= kind and found ~= 'none' then return {'CORRUPT', KEYS[i], found} end
end
local history, lease, write_ids, summary = unpack(KEYS)
local write, ttl_ms, dedupe_ms = unpack(ARGV, 1, 3)
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
local window_ms, most, part = 600000, 1000, 1000

local before = redis.call('LLEN', history)
if redis.call('ZSCORE', write_ids, write) then return {'REPEATED', before} end
redis.call('ZADD', write_ids, now_ms, write)
redis.call('ZREMRANGEBYSCORE', write_ids, '-inf', now_ms - window_ms)
redis.call('ZREMRANGEBYRANK', write_ids, 0, -most - 1)
redis.call('PEXPIRE', write_ids, window_ms)

redis.call('UNLINK', history, summary)
for first = 4, #ARGV, part do
  redis.call('RPUSH', history, unpack(ARGV, first, math.min(first + part - 1, #ARGV)))
end
redis.call('PEXPIRE', history, ttl_ms)
if redis.call('EXISTS', lease) == 1 then
  redis.call('HINCRBY', lease, 'rev', 1)
  if redis.call('PTTL', lease) < 0 then redis.call('PEXPIRE', lease, dedupe_ms) end
end
return {'OK', before}
