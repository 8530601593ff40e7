#!lua flags=allow-oom
-- COMMIT: append the turn of the head, mark its job done and open the mailbox for the next.
-- This compare-and-set is what makes the mailbox correct; the lease only saves model calls.
-- Safe to repeat: ALREADY.
--
-- KEYS  history queue jobs lease done events
-- ARGV  token job keep ttl_s dedupe_ms events_max now_us event records...
-- keep: messages that stay; records: at least one; event: '' for none, else it joins the stream, of
-- which about the last events_max stay; now_us is the server's TIME where it is ''
-- Returns (next: a job and its envelope, both '' where there is none to wake)
--   {'OK', next, envelope}       recorded, history trimmed to `keep`, its TTL at least `ttl_s`
--   {'ALREADY', next, envelope}  recorded before
--   {'GONE', next, envelope}     cancelled or dead; nothing was recorded
--   {'FENCED'}                   the lease is another's, or of another job: drop the output
--   {'REORDER'}                  not the head; unreachable while ACQUIRE checks that
--   {'CORRUPT', key, type}       a key of another type; nothing was written
for i, kind in ipairs({'list', 'zset', 'hash', 'hash', 'zset', 'stream'}) do
  local found = redis.call('TYPE', KEYS[i]).ok
  if found ~= kind and found ~= 'none' then return {'CORRUPT', KEYS[i], found} end
end
local history, queue, jobs, lease, done, events = unpack(KEYS)
local token, job, keep, ttl_s, dedupe_ms, events_max = unpack(ARGV)
local event = ARGV[8]
local time = redis.call('TIME')
local now_ms = math.floor((tonumber(ARGV[7]) or time[1] * 1000000 + time[2]) / 1000)

local held = redis.call('HMGET', lease, 'token', 'until', 'job')
local live_ms = held[1] and (tonumber(held[2]) or 0) - now_ms or 0
local function first()
  local head = live_ms <= 0 and redis.call('ZRANGE', queue, 0, 0)[1]
  return head or '', head and redis.call('HGET', jobs, head) or ''
end

local mark_ms = tonumber(redis.call('ZSCORE', done, job)) or 0
if mark_ms > 0 then return {'ALREADY', first()} end
if mark_ms < 0 then return {'GONE', first()} end
if held[1] ~= token or held[3] ~= job then return {'FENCED'} end
if redis.call('ZRANGE', queue, 0, 0)[1] ~= job then return {'REORDER'} end

redis.call('RPUSH', history, unpack(ARGV, 9))
redis.call('LTRIM', history, -keep, -1)
if redis.call('TTL', history) < tonumber(ttl_s) then redis.call('EXPIRE', history, ttl_s) end
if event ~= '' then
  redis.call('XADD', events, 'MAXLEN', '~', events_max, '*', 'event', event)
  redis.call('EXPIRE', events, ttl_s)
end
redis.call('ZADD', done, now_ms, job)
redis.call('ZREMRANGEBYSCORE', done, dedupe_ms - now_ms, now_ms - dedupe_ms)
redis.call('PEXPIRE', done, dedupe_ms)
redis.call('ZREM', queue, job)
redis.call('HDEL', jobs, job)
redis.call('HDEL', lease, 'token', 'until', 'job', 'attempt', 'not_before', 'seq', 'failed',
  'woken_at', 'wakes')
redis.call('PEXPIRE', lease, dedupe_ms)
live_ms = 0
return {'OK', first()}
