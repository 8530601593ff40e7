#!lua flags=allow-oom
-- SWEEP: say whether a mailbox needs a wake-up, and note that it gets one. While no
-- worker follows a wake-up, the gap between them doubles, from `gap_ms` to 16 times that, but to
-- no more than two minutes.
-- Safe to repeat, and for several sweepers at once: the second gets WOKEN.
--
-- KEYS  queue:zset? jobs:hash lease:hash?
-- ARGV  gap_ms dedupe_ms
-- Returns
--   {'IDLE'}                       no job
--   {'BUSY', ms}                   the head's lease lives for `ms`
--   {'WAIT', ms}                   the head backs off for `ms`, or waits for a slot and is not
--                                  woken by sweepers for `ms`
--   {'WOKEN', ms}                  a wake-up was sent; the next is not due before
--   {'WAKE', head, envelope, gap_ms}  publish the head's wake-up; the next is due after the gap;
--                                  then how urgent the session is, 'interactive' or 'batch', which
--                                  a normal one leaves out
--   {'CORRUPT', key, type}         a key of another type; nothing was written

-- include clock
-- include session_class
local head, seq_us = unpack(redis.call('ZRANGE', queue, 0, 0, 'WITHSCORES'))
if not head then return {'IDLE'} end
local held = redis.call('HMGET', lease, 'token', 'until', 'not_before', 'woken_at', 'wakes',
  'slot_wait_until', 'lease_ms', 'delay_ms', 'slot_wait_ms', 'interactive_until', 'batch_from')
local live_ms = held[1] and left_ms(lease, 'until', held[2], held[7]) or 0
if live_ms > 0 then return {'BUSY', live_ms} end
local wait_ms = math.max(left_ms(lease, 'not_before', held[3], held[8]),
  left_ms(lease, 'slot_wait_until', held[6], held[9]))
if wait_ms > 0 then return {'WAIT', wait_ms} end
-- A worker that takes the job resets both fields; until then wake-ups get rarer.
local wakes = tonumber(held[5]) or 0
local function gap_after(earlier)
  return math.min(gap_ms * 2 ^ math.min(earlier, 4), math.max(gap_ms, 120000))
end
local woken_ms = left_ms(lease, 'woken_at', held[4], 0) + gap_after(wakes - 1)
if wakes > 0 and woken_ms > 0 then return {'WOKEN', math.ceil(woken_ms)} end

local envelope = redis.call('HGET', jobs, head) or ''
redis.call('HSET', lease, 'woken_at', now_ms, 'wakes', wakes + 1)
if redis.call('PTTL', lease) < tonumber(dedupe_ms) then
  redis.call('PEXPIRE', lease, dedupe_ms + 3600000)
end
return {'WAKE', head, envelope, math.ceil(gap_after(wakes)), class_of(seq_us, held[10], held[11])}
