#!lua
-- SUMMARISE: keep a summary of a session's earlier turns, if it is still theirs. Who makes one claims
-- it first and then reads; whatever removes or replaces the history removes the claim too. It lives
-- as long as the history. Safe to repeat: the claim is used up.
--
-- KEYS  history lease summary
-- ARGV  claim rev text until
-- rev: of the lease when the history was read, '' for none; until: names the last message in it
-- Returns
--   {'OK', ttl_ms}               kept for so long
--   {'STALE', 0}                 the claim is gone or another's, or the history is another now
--   {'CORRUPT', key, type}       a key of another type; nothing was written
for i, kind in ipairs({'list', 'hash', 'hash'}) do
  local found = redis.call('TYPE', KEYS[i]).ok
  if found ~= kind and found ~= 'none' then return {'CORRUPT', KEYS[i], found} end
end
local history, lease, summary = unpack(KEYS)
local claim, rev, text, untl = unpack(ARGV)
local ttl_ms = redis.call('PTTL', history)
if redis.call('HGET', summary, 'claim') ~= claim or ttl_ms < 0
  or (redis.call('HGET', lease, 'rev') or '') ~= rev then return {'STALE', 0} end
redis.call('HDEL', summary, 'claim')
redis.call('HSET', summary, 'text', text, 'until', untl)
redis.call('PEXPIRE', summary, ttl_ms)
return {'OK', ttl_ms}
