#!lua
-- NOTE_JOB: count a job that is about to be taken in, list it, and say what is there. In the
-- pipeline of ENQUEUE, before it: so the answer costs no trip, and is what the next job is judged
-- by. Refused when Redis is out of memory, as ENQUEUE is. Safe to repeat.
--
-- KEYS  pending_jobs:zset? owners:hash counts:hash totals:hash? job_records:hash job_index:zset record_ends:zset
-- ARGV  job its_owners pending_ms kept_ms most_records names
-- job: '' counts none, and only asks; its_owners: a:<agent>, where users have a quota u:<user>, and
-- whom usage names n:<user>, with a space between; pending_ms: how long a job counts that nobody
-- releases; names: by which the job is found, each with a space before it, '' lists it not;
-- kept_ms and most_records: how long, and how many, records of jobs that have ended are kept
-- Returns
--   {'OK', is_new, pending, of_agent, sessions}  is_new: 0 where the job was counted before;
--                                pending: jobs in all, of_agent: those of its agent; sessions: as
--                                maintenance has counted them last, 0 where it has not
--   {'CORRUPT', key, type}       a key of another type; nothing was written

-- include clock
local sessions = redis.call('HGET', totals, 'sessions')
-- include drop_job
-- include job_record
local is_new = job ~= '' and hold_job(job, its_owners, pending_ms) or 0
local jobs = redis.call('ZCARD', pending_jobs)
if names ~= '' and redis.call('HSETNX', job_records, job, 'open ' .. now_ms .. ' 0' .. names) == 1
then
  local entries = {}
  for name in ('* e:open' .. names):gmatch('%S+') do
    table.insert(entries, 0)
    table.insert(entries, name .. ' ' .. now_ms .. ' ' .. job)
  end
  redis.call('ZADD', job_index, unpack(entries))
  redis.call('ZADD', record_ends, now_ms + pending_ms, job)
  local kept = redis.call('ZCARD', record_ends)
  -- Not with each job: what it costs then is little.
  for i = 1, kept % 8 == 1 and 24 or 0 do
    -- Those of jobs that have ended come first; there are as many more as jobs wait or run.
    local first = redis.call('ZRANGE', record_ends, 0, 0, 'WITHSCORES')
    if i > kept - jobs - most_records and tonumber(first[2]) >= now_ms - kept_ms then break end
    forget_record(first[1])
  end
  if kept % 8 == 1 then
    for i = 5, 7 do redis.call('PEXPIRE', KEYS[i], 2 * pending_ms) end
  end
end
local agent = its_owners:match('%S+')
return {'OK', is_new, jobs,
  tonumber(redis.call('HGET', counts, agent)) or 0,
  tonumber(sessions) or 0}
