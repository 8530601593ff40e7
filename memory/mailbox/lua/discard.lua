#!lua flags=allow-oom
-- DISCARD: take a job out for good without a turn: cancelled, or refused and a dead letter.
-- A job that is not there yet is marked too: its producer or its raw message may be on the way.
-- Safe to repeat: GONE.
--
-- KEYS  queue jobs lease done dead
-- ARGV  job reason token is_dead dedupe_ms dead_ms dead_max now_us
-- token: the holder's, '' for anyone else; is_dead: 1 keeps a dead letter, 0 does not
-- now_us is the server's TIME where it is ''
-- Returns (next: a job and its envelope, both '' where there is none to wake)
--   {'DISCARDED', next, envelope} removed, and marked done
--   {'GONE', next, envelope}     was cancelled or dead before
--   {'DONE'}                     was committed before; nothing was changed
--   {'RUNNING'}                  a lease on it lives, or `token` holds none on it; nothing changed
--   {'CORRUPT', key, type}       a key of another type; nothing was written
for i, kind in ipairs({'zset', 'hash', 'hash', 'zset', 'list'}) do
  local found = redis.call('TYPE', KEYS[i]).ok
  if found ~= kind and found ~= 'none' then return {'CORRUPT', KEYS[i], found} end
end
local queue, jobs, lease, done, dead = unpack(KEYS)
local job, reason, token, is_dead, dedupe_ms, dead_ms, dead_max = unpack(ARGV)
local time = redis.call('TIME')
local now_ms = math.floor((tonumber(ARGV[8]) or time[1] * 1000000 + time[2]) / 1000)

local held = redis.call('HMGET', lease, 'token', 'until', 'job', 'attempt')
local live_ms = held[1] and (tonumber(held[2]) or 0) - now_ms or 0
local function first()
  local head = live_ms <= 0 and redis.call('ZRANGE', queue, 0, 0)[1]
  return head or '', head and redis.call('HGET', jobs, head) or ''
end

local mark_ms = tonumber(redis.call('ZSCORE', done, job)) or 0
if mark_ms > 0 then return {'DONE'} end
if mark_ms < 0 then return {'GONE', first()} end
if token ~= '' and (held[1] ~= token or held[3] ~= job) then return {'RUNNING'} end
if token == '' and held[3] == job and live_ms > 0 then return {'RUNNING'} end

local envelope = redis.call('HGET', jobs, job)
if is_dead == '1' and envelope then
  local attempt = held[3] == job and held[4] or '0'
  local facts = {job, redis.call('ZSCORE', queue, job), attempt, tostring(now_ms), reason, envelope}
  local letter = ''
  for _, fact in ipairs(facts) do letter = letter .. #fact .. ':' .. fact .. ',' end
  redis.call('RPUSH', dead, letter)
  redis.call('LTRIM', dead, -dead_max, -1)
  redis.call('PEXPIRE', dead, dead_ms)
end
redis.call('ZADD', done, -now_ms, job)
redis.call('ZREMRANGEBYSCORE', done, dedupe_ms - now_ms, now_ms - dedupe_ms)
redis.call('PEXPIRE', done, dedupe_ms)
redis.call('ZREM', queue, job)
redis.call('HDEL', jobs, job)
if held[3] == job then
  redis.call('HDEL', lease, 'token', 'until', 'job', 'attempt', 'not_before', 'seq', 'failed')
  live_ms = 0
end
redis.call('HDEL', lease, 'woken_at', 'wakes', 'slot_wait_until')
return {'DISCARDED', first()}
