#!lua
-- INTERRUPT: take a job in, and end what is before it: the turn that runs is asked to stop and to
-- keep what it has said, and so is each that waits, as soon as it is its turn. The wish is noted
-- with the job's own number, so it outlives every holder, and nothing after it is meant.
-- Refused when Redis is out of memory. Safe to repeat: PENDING or DONE.
--
-- KEYS  queue jobs lease done requests events
-- ARGV  job envelope cap request event events_max ttl_s dedupe_ms now_us
-- as of ENQUEUE
-- Returns
--   {'NEW', seq_us, position, stopping, wake, untold}      taken in; stopping: the job whose holder
--                                 is to be told now, wake: the one to be woken now ('': none);
--                                 untold: empty, for nobody was taken out
--   {'PENDING', seq_us, position, stopping, wake, untold}  was there: tell and wake once more
--   {'DONE', mark_ms}             > 0: committed then, < 0: cancelled, merged or dead since then
--   {'CONFLICT'}                  the id is another request's; nothing was written
--   {'FULL', pending, first}      already `cap` jobs, this the first of them; nothing was written
--   {'CORRUPT', key, type}        a key of another type; nothing was written
for i, kind in ipairs({'zset', 'hash', 'hash', 'zset', 'hash', 'stream'}) do
  local found = redis.call('TYPE', KEYS[i]).ok
  if found ~= kind and found ~= 'none' then return {'CORRUPT', KEYS[i], found} end
end
local queue, jobs, lease, done, requests, events = unpack(KEYS)
local job, envelope, cap, request, event, events_max, ttl_s, dedupe_ms, now_us = unpack(ARGV)
local time = redis.call('TIME')
now_us = tonumber(now_us) or time[1] * 1000000 + time[2]

local known, mark_ms = redis.call('HGET', requests, job), redis.call('ZSCORE', done, job)
if known and known:sub(1, 32) ~= request:sub(1, 32) then return {'CONFLICT'} end
if mark_ms then return {'DONE', tonumber(mark_ms)} end
local held = redis.call('HMGET', lease, 'token', 'until', 'job', 'stop_job', 'last')
local head = redis.call('ZRANGE', queue, 0, 0)[1] or job
local is_live = held[1] and held[3] == head and (tonumber(held[2]) or 0) * 1000 > now_us
local before = head ~= job and head or ''
local stopping, wake = is_live and before or '', is_live and '' or before
local seq_us = redis.call('ZSCORE', queue, job)
if seq_us then
  return {'PENDING', tonumber(seq_us), redis.call('ZRANK', queue, job), stopping, wake, {}}
end
local pending = redis.call('ZCARD', queue)
if pending >= tonumber(cap) then return {'FULL', pending, head} end

seq_us = math.max((tonumber(held[5]) or 0) + 1, now_us)
redis.call('ZADD', queue, seq_us, job)
redis.call('HSET', jobs, job, envelope)
redis.call('HSET', lease, 'last', seq_us, 'stop_below', seq_us)
-- Who asked for its end before has said how.
if stopping ~= '' and held[4] ~= head then
  redis.call('HSET', lease, 'stop_job', head, 'stop', 'keep')
end
redis.call('HDEL', lease, 'not_before', 'slot_wait_until', 'woken_at', 'wakes')
redis.call('PEXPIRE', lease, dedupe_ms)
redis.call('HSET', requests, job, request)
redis.call('PEXPIRE', requests, dedupe_ms)
redis.call('XADD', events, 'MAXLEN', '~', events_max, '*', 'event', event .. pending .. '}}')
redis.call('EXPIRE', events, ttl_s)
return {'NEW', seq_us, pending, stopping, wake, {}}
