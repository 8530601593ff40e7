#!lua
-- SUMMARISE: keep a summary of a session's earlier turns, if the history is still the same. A
-- worker claims the summary, then reads the history; what replaces or removes that removes the
-- claim. The summary lives as long as the history. Safe to repeat: the claim is used up.
--
-- KEYS  history:list lease:hash summary:hash
-- ARGV  claim rev text last
-- rev: of the lease when the history was read, '' for none; last: names the last message in it
-- Returns
--   {'OK', ttl_ms}               kept for `ttl_ms`
--   {'STALE', 0}                 the claim or the history is another one now
--   {'CORRUPT', key, type}       a key of another type; nothing was written

-- include clock
local ttl_ms = redis.call('PTTL', history)
-- While a job waits the history does not expire; the lease says when it would have.
if ttl_ms == -1 then
  local day_ms = 86400000
  local expires_at = tonumber(redis.call('HGET', lease, 'expires_at')) or 0
  ttl_ms = math.max(math.ceil(expires_at - now_ms), day_ms)
end
if redis.call('HGET', summary, 'claim') ~= claim or ttl_ms < 0
  or (redis.call('HGET', lease, 'rev') or '') ~= rev then return {'STALE', 0} end
redis.call('HDEL', summary, 'claim')
redis.call('HSET', summary, 'text', text, 'until', last)
redis.call('PEXPIRE', summary, ttl_ms)
return {'OK', ttl_ms}
