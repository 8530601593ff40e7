#!lua
-- SUPERSEDE: take a job in, and take out all jobs that wait; with `is_all` also the head that has
-- begun. The worker of that one is asked to stop, and its COMMIT gets GONE from now on; an earlier
-- COMMIT stays. Refused when Redis is out of memory. Safe to repeat: PENDING or DONE.
--
-- KEYS  history:list queue:zset? jobs:hash callbacks:hash lease:hash? done:zset? requests:hash events:stream outbox:hash delayed:zset? pointer...:string?
-- ARGV  job envelope its_callbacks cap request priority is_all owner grace_ms event events_max ttl_s dedupe_ms
-- is_all: 1 or 0; owner: who delivers the ends of the jobs that are out, within `grace_ms`; the
-- others as of ENQUEUE
-- Returns
--   {'NEW', seq_us, position, stopping, wake, ended}  taken in; stopping: the job that its worker
--                                 must stop now ('': none); wake: as of ENQUEUE; ended: how many
--                                 ends are in the outbox
--   {'PENDING', seq_us, position, stopping, wake, ended}  was there
--   {'DONE', mark_ms}             > 0: committed then, < 0: cancelled, merged or dead since then
--   {'CONFLICT'}                  the id is another request's; nothing was written
--   {'FULL', pending, first}      `cap` jobs or more wait, `first` is the head; nothing was written
--   {'CORRUPT', key, type}        a key of another type; nothing was written

-- include clock
-- include keep_history
-- include session_class
-- include intake
-- include end_job
if seq_us then
  return {'PENDING', seq_us, position, held[5] or '', '', redis.call('HLEN', outbox)}
end
local kept = has_begun and is_all == '0' and 1 or 0
-- The jobs that are taken out do not count: only a head that is kept counts.
if kept >= tonumber(cap) then return {'FULL', pending, head} end

local stopping = has_begun and kept == 0 and head or ''
for _, other in ipairs(redis.call('ZRANGE', queue, kept, -1)) do
  local attempt = other == head and has_begun and tonumber(held[4]) or 0
  local last = last_event('cancelled', other, attempt, 'reason',
    'withdrawn: another message has taken its place')
  end_job(other, -now_ms, last)
end
if kept == 0 then forget_attempt() end
if stopping ~= '' then redis.call('HSET', lease, 'stop_job', stopping, 'stop', 'discard') end
take_in(envelope)
return {'NEW', seq_us, position, stopping, session_to_lift(), redis.call('HLEN', outbox)}
