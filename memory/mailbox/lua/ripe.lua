#!lua flags=allow-oom
-- RIPE: the delayed jobs of a session that are due by now, the longest due first.
--
-- KEYS  delayed:zset jobs:hash
-- ARGV  limit
-- Returns
--   {'OK', wait_ms, job, envelope, job, envelope, …}  wait_ms: until the first of the others is
--                                due, -1: there are no others
--   {'CORRUPT', key, type}       a key of another type

-- include clock
local found = redis.call('ZRANGEBYSCORE', delayed, '-inf', now_ms, 'LIMIT', 0, limit)
local following = redis.call('ZRANGE', delayed, #found, #found, 'WITHSCORES')[2]
local reply = {'OK', following and math.max(0, math.ceil(following - now_ms)) or -1}
for _, job in ipairs(found) do
  table.insert(reply, job)
  table.insert(reply, redis.call('HGET', jobs, job) or '')
end
return reply
