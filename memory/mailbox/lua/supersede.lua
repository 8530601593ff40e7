#!lua
-- SUPERSEDE: take a job in, and take out what waits; with `is_all` also the turn that runs, or that
-- waits for its next attempt. Its holder is asked to stop, and its COMMIT answers GONE from now on;
-- one that came before stays. Refused when Redis is out of memory. Safe to repeat: PENDING or DONE.
--
-- KEYS  queue jobs lease done requests untold events
-- ARGV  job envelope cap request is_all event events_max ttl_s dedupe_ms now_us
-- is_all: 1 or 0; the others as of ENQUEUE
-- Returns
--   {'NEW', seq_us, position, stopping, wake, untold}      taken in; stopping: the job whose holder
--                                 is to be told now ('': none); wake: ''; untold: pairs of a job
--                                 that is out and ''
--   {'PENDING', seq_us, position, stopping, wake, untold}  was there; what is still untold
--   {'DONE', mark_ms}             > 0: committed then, < 0: cancelled, merged or dead since then
--   {'CONFLICT'}                  the id is another request's; nothing was written
--   {'FULL', pending, first}      already `cap` jobs, this the first of them; nothing was written
--   {'CORRUPT', key, type}        a key of another type; nothing was written
for i, kind in ipairs({'zset', 'hash', 'hash', 'zset', 'hash', 'hash', 'stream'}) do
  local found = redis.call('TYPE', KEYS[i]).ok
  if found ~= kind and found ~= 'none' then return {'CORRUPT', KEYS[i], found} end
end
local queue, jobs, lease, done, requests, untold, events = unpack(KEYS)
local job, envelope, cap, request, is_all, event, events_max, ttl_s, dedupe_ms = unpack(ARGV)
local time = redis.call('TIME')
local now_us = tonumber(ARGV[10]) or time[1] * 1000000 + time[2]

local known, mark_ms = redis.call('HGET', requests, job), redis.call('ZSCORE', done, job)
if known and known:sub(1, 32) ~= request:sub(1, 32) then return {'CONFLICT'} end
if mark_ms then return {'DONE', tonumber(mark_ms)} end
local held = redis.call('HMGET', lease, 'job', 'stop_job', 'last', 'attempt')
local seq_us, stopping = redis.call('ZSCORE', queue, job), held[2] or ''
if seq_us then
  local position = redis.call('ZRANK', queue, job)
  return {'PENDING', tonumber(seq_us), position, stopping, '', redis.call('HGETALL', untold)}
end
local head = redis.call('ZRANGE', queue, 0, 0)[1]
local has_begun = head and held[1] == head and (tonumber(held[4]) or 0) > 0
local kept = has_begun and is_all == '0' and 1 or 0
if kept >= tonumber(cap) then return {'FULL', redis.call('ZCARD', queue), head} end

stopping = has_begun and kept == 0 and head or ''
for _, other in ipairs(redis.call('ZRANGE', queue, kept, -1)) do
  redis.call('ZADD', done, -math.floor(now_us / 1000), other)
  redis.call('HDEL', jobs, other)
  redis.call('HSET', untold, other, '')
end
redis.call('ZREMRANGEBYRANK', queue, kept, -1)
if kept == 0 then redis.call('HDEL', lease, 'token', 'until', 'job', 'attempt', 'not_before',
  'seq', 'failed', 'woken_at', 'wakes', 'slot_wait_until') end
if stopping ~= '' then redis.call('HSET', lease, 'stop_job', stopping, 'stop', 'discard') end
seq_us = math.max((tonumber(held[3]) or 0) + 1, now_us)
redis.call('ZADD', queue, seq_us, job)
redis.call('HSET', jobs, job, envelope)
redis.call('HSET', lease, 'last', seq_us)
redis.call('HSET', requests, job, request)
for _, key in ipairs({lease, requests, done, untold}) do redis.call('PEXPIRE', key, dedupe_ms) end
redis.call('XADD', events, 'MAXLEN', '~', events_max, '*', 'event', event .. kept .. '}}')
redis.call('EXPIRE', events, ttl_s)
return {'NEW', seq_us, kept, stopping, '', redis.call('HGETALL', untold)}
