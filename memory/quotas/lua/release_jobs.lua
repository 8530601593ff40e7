#!lua flags=allow-oom
-- RELEASE_JOBS: count jobs no longer: they have ended, or were not taken in. What they have used is
-- counted once: by who releases them first. Safe to repeat.
--
-- KEYS  pending_jobs:zset? owners:hash counts:hash job_records:hash job_index:zset record_ends:zset days...:hash
-- ARGV  first_day most_names jobs...
-- days: three usage:<day>, of which `first_day` (days since 1970) is the first; jobs: of each job,
-- state, spent; state: how it has ended, '' where it was not taken in; spent: m:<model> and the
-- numbers of a row of usage, '' where it has used nothing that counts
-- Returns
--   {'OK', jobs}                 how many of them were counted
--   {'CORRUPT', key, type}       a key of another type; nothing was written

-- include clock
-- include drop_job
-- include job_record
-- include add_usage
local function end_record(one, state)
  local taken, names = (redis.call('HGET', job_records, one) or ''):match('^open (%d+) 0(.*)$')
  if state == 'erased' or taken and state == '' then return forget_record(one) end
  if not taken then return end
  redis.call('ZREM', job_index, 'e:open ' .. taken .. ' ' .. one)
  -- Nearly all are done: to find these, all are looked at.
  if state ~= 'done' then
    redis.call('ZADD', job_index, 0, 'e:' .. state .. ' ' .. taken .. ' ' .. one)
  end
  redis.call('HSET', job_records, one, state .. ' ' .. taken .. ' ' .. now_ms .. names)
  redis.call('ZADD', record_ends, now_ms, one)
end
local released = 0
for i = 3, #ARGV, 3 do
  local job, state, spent = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local is_first, whose = drop_job(job)
  released = released + is_first
  if is_first == 1 and spent ~= '' then
    local model, packed = spent:match('^(%S+) (.*)$')
    local numbers, user = numbers_in(packed), whose:match('n:(%S+)')
    add_usage('d:', numbers)
    add_usage(whose:match('a:%S+') or 'a:', numbers)
    add_usage(model, numbers)
    if user then add_usage('u:' .. user, numbers) end
  end
  end_record(job, state)
end
keep_usage(today)
return {'OK', released}
