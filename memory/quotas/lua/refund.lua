#!lua flags=allow-oom
-- REFUND: give back what CHARGE took for a job that was not taken in. Safe to repeat: once.
--
-- KEYS  pending_jobs:zset owners:hash counts:hash buckets...:hash
-- ARGV  job per_minute...
-- per_minute: jobs per minute of the owner of each bucket; 0 is no bound
-- Returns
--   {'OK', jobs}                 1, or 0 where the job does not count
--   {'CORRUPT', key, type}       a key of another type; nothing was written

-- include clock
-- include drop_job
-- include bucket
if drop_job(job) == 0 then return {'OK', 0} end
for i = 4, #KEYS do
  local per_minute = tonumber(ARGV[i - 2])
  if per_minute > 0 then
    keep_busy(KEYS[i], 'jobs', math.max(0, busy_ms(KEYS[i], 'jobs') - minute_ms / per_minute))
  end
end
return {'OK', 1}
