#!lua
-- RESTORE: write a history, and its summary, that were exported. Refused where the session has a
-- history or jobs, unless forced; then both go, and jobs that wait stay, as in REPLACE. Refused
-- when Redis is out of memory. Safe to repeat: a write id acts once in 10 minutes.
--
-- KEYS  history:list queue:zset lease:hash write_ids:zset summary:hash delayed:zset archive:hash
-- ARGV  write_id ttl_ms dedupe_ms is_forced text last records...
-- text: of the summary, '' for none; last: names the last message in it; records: may be none
-- Returns
--   {'OK', messages}             how many messages there were before
--   {'REPEATED', messages}       this write has been done; nothing was written
--   {'NOT_EMPTY', messages}      refused; nothing was written
--   {'CORRUPT', key, type}       a key of another type; nothing was written

local jobs = redis.call('ZCARD', queue) + redis.call('ZCARD', delayed)
local there = redis.call('LLEN', history) + jobs
if is_forced ~= '1' and there > 0 and not redis.call('ZSCORE', write_ids, write_id) then
  return {'NOT_EMPTY', redis.call('LLEN', history)}
end
-- include clock
-- include once
-- include new_history
local part = 1000
for first = 7, #ARGV, part do
  redis.call('RPUSH', history, unpack(ARGV, first, math.min(first + part - 1, #ARGV)))
end
redis.call('PEXPIRE', history, ttl_ms)
if text ~= '' then
  redis.call('HSET', summary, 'text', text, 'until', last)
  redis.call('PEXPIRE', summary, ttl_ms)
end
return {'OK', messages}
