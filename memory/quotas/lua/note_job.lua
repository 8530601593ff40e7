#!lua
-- NOTE_JOB: count a job that is about to be taken in, and say what is there. In the pipeline of
-- ENQUEUE, before it: so the answer costs no trip, and is what the next job is judged by. Refused
-- when Redis is out of memory, as ENQUEUE is. Safe to repeat.
--
-- KEYS  pending_jobs:zset owners:hash counts:hash totals:hash
-- ARGV  job its_owners pending_ms
-- job: '' counts none, and only asks; its_owners: a:<agent>, and where users have a quota u:<user>,
-- with a space between; pending_ms: how long a job counts that nobody releases
-- Returns
--   {'OK', is_new, pending, of_agent, sessions}  is_new: 0 where the job was counted before;
--                                pending: jobs in all, of_agent: those of its agent; sessions: as
--                                maintenance has counted them last, 0 where it has not
--   {'CORRUPT', key, type}       a key of another type; nothing was written

-- include clock
-- include drop_job
-- include hold_job
local is_new = job ~= '' and hold_job(job, its_owners, pending_ms) or 0
local agent = its_owners:match('%S+')
return {'OK', is_new, redis.call('ZCARD', pending_jobs),
  tonumber(redis.call('HGET', counts, agent)) or 0,
  tonumber(redis.call('HGET', totals, 'sessions')) or 0}
