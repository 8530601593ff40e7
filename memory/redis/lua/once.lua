-- Answers REPEATED where the write of this id was done before. Else it notes the id, for ten
-- minutes, and at most the last thousand of them.
local messages, window_ms, most = redis.call('LLEN', history), 600000, 1000
if redis.call('ZSCORE', write_ids, write_id) then return {'REPEATED', messages} end
redis.call('ZADD', write_ids, now_ms, write_id)
redis.call('ZREMRANGEBYSCORE', write_ids, '-inf', now_ms - window_ms)
redis.call('ZREMRANGEBYRANK', write_ids, 0, -most - 1)
redis.call('PEXPIRE', write_ids, window_ms)
