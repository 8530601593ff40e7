#!lua flags=allow-oom
-- ERASE: remove what a session of an agent holds of people's words: history, summary, dead letters,
-- events, and the jobs that wait, run or are delayed, which end as erased. The results of its other
-- jobs that ended lately are erased likewise: each of them has an end in the outbox, without words.
-- Marks and lease stay: without them a late message would run a job again, or a late turn be
-- recorded. The new stream, with the last events only, lives for a minute. Safe to repeat: a write
-- id acts once in ten minutes. Its schedules go, too.
--
-- KEYS  history:list queue:zset jobs:hash callbacks:hash lease:hash done:zset requests:hash events:stream dead:list summary:hash outbox:hash write_ids:zset delayed:zset schedules:hash archive:hash
-- ARGV  write_id owner grace_ms events_max dedupe_ms
-- owner: who delivers the ends, within `grace_ms`; dedupe_ms: how long marks, outbox and lease live
-- Returns
--   {'OK', keys, jobs, running}  how many keys held something, how many jobs ended; running: the
--                                job that its worker must stop now, or ''
--   {'REPEATED', messages}       this write has been done; nothing was removed
--   {'CORRUPT', key, type}       a key of another type; nothing was removed

-- include clock
-- include once
local ttl_s = 60
-- include keep_history
-- include end_job
local keys = redis.call('EXISTS', history, events, dead, summary, queue, delayed, schedules)
local held = redis.call('HMGET', lease, 'token', 'until', 'job')
local is_live = held[1] and (tonumber(held[2]) or 0) > now_ms
redis.call('UNLINK', history, events, dead, summary, requests, schedules, archive)
local waiting = redis.call('ZRANGE', queue, 0, -1)
for _, one in ipairs(redis.call('ZRANGE', delayed, 0, -1)) do table.insert(waiting, one) end
for _, one in ipairs(redis.call('ZRANGE', done, 0, -1)) do
  local last, was = last_event('erased', one, 0), redis.call('HGET', outbox, one) or ''
  -- Who delivers another end of the job right now has its time: else its result came last. And what
  -- follows the job, a chord perhaps, is still to hear of it.
  local until_ms, length_ms, whose, size, rest = was:match('^(%d+) (%d+) (%S+) (%d+) (.*)$')
  redis.call('HSET', outbox, one, string.format('%d %d %s %d ', until_ms or now_ms, length_ms or 0,
    whose or owner, #last) .. last .. (rest and rest:sub(size + 1) or ''))
end
for _, one in ipairs(waiting) do end_job(one, -now_ms, last_event('erased', one, 0)) end
-- Who asks when stream and outbox are empty is told so.
for _, one in ipairs(redis.call('ZRANGE', done, 0, -1)) do
  redis.call('HSET', requests, one, 'erased')
end
redis.call('PEXPIRE', requests, dedupe_ms)
if #waiting > 0 then forget_attempt() end
redis.call('HINCRBY', lease, 'rev', 1)
if is_live then redis.call('HSET', lease, 'stop_job', held[3], 'stop', 'discard') end
redis.call('PEXPIRE', lease, dedupe_ms)
redis.call('PEXPIRE', outbox, dedupe_ms)
return {'OK', keys, #waiting, is_live and held[3] or ''}
