-- Answers REPEATED where the write of this id was done before. Else it notes the id, for ten
-- minutes, and at most the last thousand of them.
local messages, window_ms, most = redis.call('LLEN', history), 600000, 1000
if redis.call('ZSCORE', write_ids, write_id) then return {'REPEATED', messages} end
-- After those that are there: else the last would be the first to go where the clock was set back.
local newest = tonumber(redis.call('ZRANGE', write_ids, -1, -1, 'WITHSCORES')[2]) or 0
redis.call('ZADD', write_ids, math.max(now_ms, newest + 1), write_id)
redis.call('ZREMRANGEBYSCORE', write_ids, '-inf', now_ms - window_ms)
redis.call('ZREMRANGEBYRANK', write_ids, 0, -most - 1)
redis.call('PEXPIRE', write_ids, window_ms)
