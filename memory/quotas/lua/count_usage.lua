#!lua flags=allow-oom
-- COUNT_USAGE: count what an attempt without a reply, or a summary, has used: once, by its id, as
-- long as anybody sends it again. Safe to repeat.
--
-- KEYS  usage_ids:zset days...:hash
-- ARGV  first_day most_names id numbers names...
-- days, first_day: as of RELEASE_JOBS; names: of the rows
-- Returns
--   {'OK', counted}              1, or 0 where it was counted before
--   {'CORRUPT', key, type}       a key of another type; nothing was written

-- include clock
-- include add_usage
local window_ms = 600000
redis.call('ZREMRANGEBYSCORE', usage_ids, '-inf', now_ms - window_ms)
if redis.call('ZADD', usage_ids, 'NX', now_ms, id) == 0 then return {'OK', 0} end
redis.call('PEXPIRE', usage_ids, window_ms)
for i = 5, #ARGV do add_usage(ARGV[i], numbers_in(numbers)) end
keep_usage(today)
return {'OK', 1}
