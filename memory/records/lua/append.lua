#!lua
-- APPEND: add messages to the end of a history, trim it and renew its TTL, in one step. Refused
-- when Redis is out of memory (no allow-oom). Safe to repeat: a write id acts once in 10 minutes.
--
-- KEYS  history:list queue:zset lease:hash write_ids:zset delayed:zset summary:hash
-- ARGV  write_id keep most_bytes ttl_ms is_exact dedupe_ms records...
-- keep: messages that stay, most_bytes: and how many bytes they have at most; ttl_ms: set as it is
-- where is_exact is 1, else it only lengthens; dedupe_ms: TTL of a lease that has none; records: at
-- least one
-- Returns
--   {'OK', messages}             how many messages there are now
--   {'REPEATED', messages}       this write has been done; nothing was written
--   {'CORRUPT', key, type}       a key of another type; nothing was written

-- include clock
-- include once
-- include keep_history
-- include history_size
-- include add_messages
local left_ms = redis.call('PTTL', history)
if left_ms < 0 and redis.call('EXISTS', queue, delayed) > 0 then
  left_ms = (tonumber(redis.call('HGET', lease, 'expires_at')) or 0) - now_ms
end
add_messages(7)
if is_exact == '1' or left_ms < tonumber(ttl_ms) then redis.call('PEXPIRE', history, ttl_ms) end
-- It is of no less use than what it sums up.
redis.call('PEXPIRE', summary, ttl_ms, 'GT')
-- A TTL that is given to the history of a session in which a job waits counts once that is over.
if redis.call('EXISTS', queue, delayed) > 0 and redis.call('EXISTS', lease) == 1 then
  keep_history()
end
return {'OK', redis.call('LLEN', history)}
