#!lua
-- MERGE: take a job in, and merge the waiting jobs of the same user into it, from the latest back,
-- as long as all messages together have at most `most_bytes`, and all that is kept of the jobs
-- `most_kept_bytes`. A job that has begun is not merged.
-- The merged jobs are done; their envelopes are kept behind the job's own, the oldest first.
-- Refused when Redis is out of memory. Safe to repeat: PENDING or DONE.
--
-- KEYS  history:list queue:zset? jobs:hash callbacks:hash lease:hash? done:zset? requests:hash events:stream outbox:hash delayed:zset? pointer...:string?
-- ARGV  job envelope its_callbacks cap request priority most_bytes most_kept_bytes owner grace_ms event events_max ttl_s dedupe_ms
-- owner: who delivers the ends of the merged jobs, within `grace_ms`; the others as of ENQUEUE
-- A job that carries others has, as netstrings: its own envelope, then for each of them the id and
-- the envelope.
-- Returns
--   {'NEW', seq_us, position, stopping, wake, ended}  taken in; stopping: ''; wake: as of ENQUEUE;
--                                 ended: how many ends are in the outbox
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
  return {'PENDING', seq_us, position, '', '', redis.call('HLEN', outbox)}
end
if pending >= tonumber(cap) then return {'FULL', pending, head} end

local waiting = redis.call('ZRANGE', queue, 0, -1)
local size_bytes, carried = tonumber(request:sub(51, 58)), ''
local kept_bytes = #envelope + 10
for i = pending, has_begun and 2 or 1, -1 do
  local other, was = waiting[i], redis.call('HGET', requests, waiting[i]) or ''
  if was:sub(34, 49) == request:sub(34, 49) then
    size_bytes = size_bytes + 2 + (tonumber(was:sub(51, 58)) or 0)
    if size_bytes > tonumber(most_bytes) then break end
    local its = redis.call('HGET', jobs, other) or ''
    -- With each of the two go its size, a colon and a comma; so they do with the job's own.
    kept_bytes = kept_bytes + #its + #other + 20
    if kept_bytes > tonumber(most_kept_bytes) then break end
    for _, text in ipairs({its, other}) do
      carried = #text .. ':' .. text .. ',' .. carried
    end
    request = request:sub(1, 50) .. string.format('%08d', size_bytes)
    -- What follows the other in Celery follows the job that answers it.
    its_callbacks = (redis.call('HGET', callbacks, other) or '') .. its_callbacks
    redis.call('HDEL', callbacks, other)
    end_job(other, -now_ms, last_event('merged', other, 0, 'into', job))
    redis.call('HSET', requests, other, was:sub(1, 58) .. ':' .. job)
    if i == 1 then forget_attempt() end
  end
end
-- What a merged job carried itself is inside its own envelope.
-- The job is as urgent as its session was: what it answers besides is so.
if carried ~= '' and (was == 'interactive' or not was and priority == 'batch') then
  priority = was or 'normal'
end
if carried ~= '' then carried = #envelope .. ':' .. envelope .. ',' .. carried end
take_in(carried ~= '' and carried or envelope)
return {'NEW', seq_us, position, '', session_to_lift(), redis.call('HLEN', outbox)}
