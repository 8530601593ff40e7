#!lua flags=allow-oom
-- SPEND: take the tokens of a job's turn out of the quotas of its owners; they may go below zero,
-- for nobody knows before how many a turn costs. Safe to repeat: a job pays once, as long as it
-- counts.
--
-- KEYS  owners:hash buckets...:hash
-- ARGV  job tokens per_day...
-- per_day: tokens per day of the owner of each bucket; 0 is no bound
-- Returns
--   {'OK', jobs}                 1, or 0 where the job has paid, or does not count
--   {'CORRUPT', key, type}       a key of another type; nothing was written

-- include clock
-- include bucket
local its_owners = redis.call('HGET', owners, job)
if not its_owners or its_owners:sub(1, 1) == '+' then return {'OK', 0} end
redis.call('HSET', owners, job, '+ ' .. its_owners)
for i = 2, #KEYS do
  local per_day = tonumber(ARGV[i + 1])
  if per_day > 0 then
    keep_busy(KEYS[i], 'tokens', busy_ms(KEYS[i], 'tokens') + tokens * day_ms / per_day)
  end
end
return {'OK', 1}
