#!lua
-- INTERRUPT: take a job in, and end all jobs before it: the turn that runs must stop and keep its
-- text so far, and each job that waits must stop as soon as it runs. The lease notes the job's own
-- sequence number: all jobs below it end, whichever worker runs them, and none after it. Refused
-- when Redis is out of memory. Safe to repeat: PENDING or DONE.
--
-- KEYS  history:list queue:zset? jobs:hash callbacks:hash lease:hash? done:zset? requests:hash events:stream delayed:zset? pointer...:string?
-- ARGV  job envelope its_callbacks cap request priority event events_max ttl_s dedupe_ms
-- as of ENQUEUE
-- Returns
--   {'NEW', seq_us, position, stopping, wake, ended}  taken in; stopping: the job that its worker
--                                 must stop now, wake: the job to wake now ('': none); ended: 0
--   {'PENDING', seq_us, position, stopping, wake, ended}  was there: stop and wake once more
--   {'DONE', mark_ms}             > 0: committed then, < 0: cancelled, merged or dead since then
--   {'CONFLICT'}                  the id is another request's; nothing was written
--   {'FULL', pending, first}      `cap` jobs or more wait, `first` is the head; nothing was written
--   {'CORRUPT', key, type}        a key of another type; nothing was written

-- include clock
-- include keep_history
-- include session_class
-- include intake
local is_live = held[1] and held[3] == head and (tonumber(held[2]) or 0) > now_ms
local before = head ~= job and head or ''
local stopping, wake = is_live and before or '', is_live and '' or before
if seq_us then return {'PENDING', seq_us, position, stopping, wake, 0} end
if pending >= tonumber(cap) then return {'FULL', pending, head} end

take_in(envelope)
redis.call('HSET', lease, 'stop_below', seq_us)
-- A STOP that came before has said how the job is to end.
if stopping ~= '' and held[5] ~= head then
  redis.call('HSET', lease, 'stop_job', head, 'stop', 'keep')
end
-- The head ends at once: it waits for no back-off, slot or earlier wake-up.
redis.call('HDEL', lease, 'not_before', 'slot_wait_until', 'woken_at', 'wakes')
return {'NEW', seq_us, position, stopping, wake, 0}
