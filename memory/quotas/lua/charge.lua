#!lua
-- CHARGE: take a job out of the quotas of its owners, or out of none. It counts as theirs from now,
-- for `admission_ms`: NOTE_JOB prolongs that when it is taken in. Refused when Redis is out of
-- memory. Safe to repeat: KNOWN.
--
-- KEYS  pending_jobs:zset owners:hash counts:hash buckets...:hash
-- ARGV  job its_owners admission_ms pending_ms limits...
-- its_owners: as of NOTE_JOB; pending_ms: how long the counts are kept; buckets: those of the
-- owners that have a quota; limits: of each of them owner, jobs per minute, tokens per day, jobs at
-- once; 0 is no bound
-- Returns
--   {'CHARGED'}
--   {'KNOWN'}                    the job counts already; nothing was taken
--   {'REFUSED', number, rule, wait_ms}  the quota of owner `number`, from 1, is used up; rule: 1
--                                jobs per minute, 2 tokens per day, 3 jobs at once; wait_ms: until
--                                it has room, -1: until a job ends
--   {'CORRUPT', key, type}       a key of another type; nothing was written

-- include clock
-- include drop_job
-- include bucket
if redis.call('ZSCORE', pending_jobs, job) then return {'KNOWN'} end
local charges, refused = {}, nil
local function refuse(number, rule, wait_ms)
  if not refused or wait_ms > refused[4] then refused = {'REFUSED', number, rule, wait_ms} end
end
for number = 1, #KEYS - 3 do
  local bucket, at = KEYS[number + 3], 4 * number + 1
  local owner, per_minute, per_day, at_once = unpack(ARGV, at, at + 3)
  local most = tonumber(at_once)
  if most > 0 and (tonumber(redis.call('HGET', counts, owner)) or 0) >= most then
    refuse(number, 3, -1)
  end
  if tonumber(per_day) > 0 then
    local over_ms = busy_ms(bucket, 'tokens') + day_ms / per_day - day_ms
    if over_ms > 0.01 then refuse(number, 2, math.ceil(over_ms)) end
  end
  if tonumber(per_minute) > 0 then
    local busy = busy_ms(bucket, 'jobs') + minute_ms / per_minute
    -- As much as the sums of a whole bucket may be out.
    if busy > minute_ms + 0.01 then refuse(number, 1, math.ceil(busy - minute_ms)) end
    table.insert(charges, {bucket, busy})
  end
end
if refused then return refused end
for _, charge in ipairs(charges) do keep_busy(charge[1], 'jobs', charge[2]) end
hold_job(job, its_owners, admission_ms)
return {'CHARGED'}
