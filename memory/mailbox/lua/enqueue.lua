#!lua
-- ENQUEUE: take a job into the mailbox, once. Refused when Redis is out of memory (no allow-oom):
-- back-pressure belongs at the door. Safe to repeat: PENDING or DONE, and no second event.
--
-- KEYS  queue jobs lease done requests events
-- ARGV  job envelope cap request event events_max ttl_s dedupe_ms now_us
-- request: the digest of what is asked (32 bytes), who asks it (16) and its size in bytes (8),
-- with a colon between; event: `queued` up to the number of jobs before it, which is put in;
-- ttl_s: of the events; now_us is the server's TIME where it is ''
-- Returns
--   {'NEW', seq_us, position}     taken in; at position 0 the caller publishes its wake-up
--   {'PENDING', seq_us, position} was there; at position 0 publish too: a reply may have been lost
--   {'DONE', mark_ms}             > 0: committed then, < 0: cancelled, merged or dead since then
--   {'CONFLICT'}                  the id is another request's; nothing was written
--   {'FULL', pending, first}      already `cap` jobs, this the first of them; not taken in
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
local seq_us = redis.call('ZSCORE', queue, job)
if seq_us then return {'PENDING', tonumber(seq_us), redis.call('ZRANK', queue, job)} end
local pending = redis.call('ZCARD', queue)
if pending >= tonumber(cap) then
  return {'FULL', pending, redis.call('ZRANGE', queue, 0, 0)[1] or ''}
end

local last_us = redis.call('HGET', lease, 'last')
seq_us = math.max((tonumber(last_us) or 0) + 1, now_us)
redis.call('ZADD', queue, seq_us, job)
redis.call('HSET', jobs, job, envelope)
redis.call('HSET', lease, 'last', seq_us)
redis.call('PEXPIRE', lease, dedupe_ms)
redis.call('HSET', requests, job, request)
redis.call('PEXPIRE', requests, dedupe_ms)
redis.call('XADD', events, 'MAXLEN', '~', events_max, '*', 'event', event .. pending .. '}}')
redis.call('EXPIRE', events, ttl_s)
return {'NEW', seq_us, pending}
