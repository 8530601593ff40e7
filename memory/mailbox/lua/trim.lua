#!lua flags=allow-oom
-- TRIM: forget the requests of jobs that are neither pending nor marked as done any more, once
-- there are many of them. Safe to repeat.
--
-- KEYS  queue:zset done:zset requests:hash delayed:zset
-- ARGV  slack
-- slack: how many may stay
-- Returns
--   {'OK', jobs}                 how many were forgotten
--   {'CORRUPT', key, type}       a key of another type; nothing was removed

local known = redis.call('ZCARD', queue) + redis.call('ZCARD', delayed) + redis.call('ZCARD', done)
local forgotten = 0
if redis.call('HLEN', requests) <= known + tonumber(slack) then return {'OK', forgotten} end
for _, job in ipairs(redis.call('HKEYS', requests)) do
  if not redis.call('ZSCORE', done, job) and not redis.call('ZSCORE', queue, job)
    and not redis.call('ZSCORE', delayed, job) then
    forgotten = forgotten + redis.call('HDEL', requests, job)
  end
end
return {'OK', forgotten}
