#!lua flags=allow-oom
-- FAIL: give the lease back; the job stays the head and may run again in `delay_ms`. While it waits
-- for a slot of its model, or for the servers of its model, no sweeper wakes it for `slot_wait_ms`.
-- A job that was asked to stop does not wait: the next worker that runs it ends it.
-- Safe to repeat: the same token gets 1 again.
--
-- KEYS  lease:hash?
-- ARGV  token delay_ms refund slot_wait_ms is_outage is_paused error dedupe_ms
-- refund: 1 where the attempt is not to count, else 0; is_outage: 1 where the job waits for the
-- servers of its model: the lease keeps since when; is_paused: 1 where it waits for the end of a
-- pause, and for servers from then on; error: of an attempt that counts, for the dead letter that
-- it may come to
-- Returns
--   1                            the lease is given back
--   0                            the token holds no lease; nothing was changed
--   {'CORRUPT', key, type}       a key of another type; nothing was written

-- include clock
-- include note_error
local held = redis.call('HMGET', lease, 'token', 'attempt', 'failed', 'job', 'stop_job', 'seq',
  'stop_below')
-- The reply to an earlier FAIL was lost.
if held[3] == token then return 1 end
if held[1] ~= token then return 0 end
-- A worker that shuts down did not try.
local attempt = (tonumber(held[2]) or 0) - refund
local is_to_stop = held[4] == held[5] or (tonumber(held[6]) or 0) < (tonumber(held[7]) or 0)
if is_to_stop then delay_ms = 0 end
redis.call('HSET', lease, 'not_before', now_ms + delay_ms, 'delay_ms', delay_ms,
  'attempt', attempt, 'failed', token)
redis.call('HDEL', lease, 'token', 'until', 'seq', 'woken_at', 'wakes')
-- An attempt that counts has met a server: from then on the job waits anew.
if is_outage == '1' then redis.call('HSETNX', lease, 'servers_away_since', now_ms)
elseif is_paused == '1' or refund == '0' then redis.call('HDEL', lease, 'servers_away_since') end
if is_paused == '1' then redis.call('HSET', lease, 'paused', 1)
elseif is_outage == '0' and refund == '0' then note_error(attempt, error) end
if tonumber(slot_wait_ms) > 0 then
  redis.call('HSET', lease, 'slot_wait_until', now_ms + slot_wait_ms, 'slot_wait_ms', slot_wait_ms)
end
if redis.call('PTTL', lease) < tonumber(dedupe_ms) then
  redis.call('PEXPIRE', lease, dedupe_ms + 3600000)
end
return 1
