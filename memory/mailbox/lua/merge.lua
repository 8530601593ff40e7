#!lua
-- MERGE: take a job in, and let it carry what the same one has asked before and nobody has begun:
-- those jobs are done, merged into this one, and their envelopes go in behind its own, the oldest
-- first. From the latest back, while the messages together are no longer than most_bytes.
-- Refused when Redis is out of memory. Safe to repeat: PENDING or DONE.
--
-- KEYS  queue jobs lease done requests untold events
-- ARGV  job envelope cap request most_bytes event events_max ttl_s dedupe_ms now_us
-- as of ENQUEUE; a job that carries others has, as netstrings: its own envelope, then for each of
-- them the id and the envelope
-- Returns
--   {'NEW', seq_us, position, stopping, wake, untold}      taken in; stopping, wake: ''; untold:
--                                 pairs of a job and the one it is merged into
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
local job, envelope, cap, request, most_bytes, event, events_max, ttl_s, dedupe_ms = unpack(ARGV)
local time = redis.call('TIME')
local now_us = tonumber(ARGV[10]) or time[1] * 1000000 + time[2]

local known, mark_ms = redis.call('HGET', requests, job), redis.call('ZSCORE', done, job)
if known and known:sub(1, 32) ~= request:sub(1, 32) then return {'CONFLICT'} end
if mark_ms then return {'DONE', tonumber(mark_ms)} end
local seq_us = redis.call('ZSCORE', queue, job)
if seq_us then
  local position = redis.call('ZRANK', queue, job)
  return {'PENDING', tonumber(seq_us), position, '', '', redis.call('HGETALL', untold)}
end
local waiting, pending = redis.call('ZRANGE', queue, 0, -1), redis.call('ZCARD', queue)
if pending >= tonumber(cap) then return {'FULL', pending, waiting[1]} end

local held = redis.call('HMGET', lease, 'job', 'last', 'attempt')
local has_begun = held[1] == waiting[1] and (tonumber(held[3]) or 0) > 0
local size_bytes, carried = tonumber(request:sub(51, 58)), ''
for i = pending, has_begun and 2 or 1, -1 do
  local other, was = waiting[i], redis.call('HGET', requests, waiting[i]) or ''
  if was:sub(34, 49) == request:sub(34, 49) then
    size_bytes = size_bytes + 2 + (tonumber(was:sub(51, 58)) or 0)
    if size_bytes > tonumber(most_bytes) then break end
    for _, text in ipairs({redis.call('HGET', jobs, other) or '', other}) do
      carried = #text .. ':' .. text .. ',' .. carried
    end
    request = request:sub(1, 50) .. string.format('%08d', size_bytes)
    redis.call('ZADD', done, -math.floor(now_us / 1000), other)
    redis.call('HSET', requests, other, was:sub(1, 58) .. ':' .. job)
    redis.call('HSET', untold, other, job)
    redis.call('HDEL', jobs, other)
    redis.call('ZREM', queue, other)
    -- What the lease says of a head that is no more is not about the next one.
    if i == 1 then redis.call('HDEL', lease, 'job', 'attempt', 'not_before', 'failed',
      'woken_at', 'wakes', 'slot_wait_until') end
  end
end
if carried ~= '' then carried = #envelope .. ':' .. envelope .. ',' .. carried end
seq_us = math.max((tonumber(held[2]) or 0) + 1, now_us)
redis.call('ZADD', queue, seq_us, job)
redis.call('HSET', jobs, job, carried ~= '' and carried or envelope)
redis.call('HSET', lease, 'last', seq_us)
redis.call('HSET', requests, job, request)
for _, key in ipairs({lease, requests, done, untold}) do redis.call('PEXPIRE', key, dedupe_ms) end
local position = redis.call('ZRANK', queue, job)
redis.call('XADD', events, 'MAXLEN', '~', events_max, '*', 'event', event .. position .. '}}')
redis.call('EXPIRE', events, ttl_s)
return {'NEW', seq_us, position, '', '', redis.call('HGETALL', untold)}
