#!lua flags=allow-oom
-- SPEND: take the tokens of one attempt at a job out of the quotas of its owners. These may go
-- below zero, for nobody knows before how many a turn costs. Safe to repeat: an attempt pays once,
-- as long as its job counts.
--
-- KEYS  owners:hash buckets...:hash
-- ARGV  job lease_token tokens per_day...
-- lease_token: of the attempt; per_day: tokens per day of the owner of each bucket; 0: no bound
-- Returns
--   {'OK', jobs}                 1, or 0 where the attempt has paid, or the job does not count
--   {'CORRUPT', key, type}       a key of another type; nothing was written

-- include clock
-- include bucket
local its_owners = redis.call('HGET', owners, job)
if not its_owners then return {'OK', 0} end
local paid, unpaid = its_owners:match('^%+(%S+) (.+)$')
if paid == lease_token then return {'OK', 0} end
redis.call('HSET', owners, job, '+' .. lease_token .. ' ' .. (unpaid or its_owners))
for i = 2, #KEYS do
  local per_day = tonumber(ARGV[i + 2])
  if per_day > 0 then
    keep_busy(KEYS[i], 'tokens', busy_ms(KEYS[i], 'tokens') + tokens * day_ms / per_day)
  end
end
return {'OK', 1}
