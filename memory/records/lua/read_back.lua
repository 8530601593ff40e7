#!lua
-- READ_BACK: give a session the end of its archived conversation, for the turn that runs. Only if
-- it has no history, the job is still the one that runs, and nobody has removed the history since.
-- Notes for later attempts at the job how many messages came back.
-- Refused when Redis is out of memory. Safe to repeat: STALE, and nothing is written.
--
-- KEYS  history:list queue:zset lease:hash archive:hash summary:hash
-- ARGV  job attempt rev generation first text last ttl_ms records...
-- rev: of the lease before the archive was asked; first: place of the first record in the
-- conversation; text, last: the summary, '' for none; ttl_ms: of that, which COMMIT prolongs
-- Returns
--   {'OK', messages}             how many messages there are now
--   {'STALE', messages}          refused; nothing was written
--   {'CORRUPT', key, type}       a key of another type; nothing was written

local held = redis.call('HMGET', lease, 'job', 'attempt', 'rev')
local messages = redis.call('LLEN', history)
if messages > 0 or held[1] ~= job or held[2] ~= attempt or (held[3] or '') ~= rev
  or redis.call('ZRANGE', queue, 0, 0)[1] ~= job then return {'STALE', messages} end
local part = 1000
for from = 9, #ARGV, part do
  redis.call('RPUSH', history, unpack(ARGV, from, math.min(from + part - 1, #ARGV)))
end
redis.call('HSET', archive, 'generation', generation, 'first', first,
  'back', (#ARGV - 8) .. ' ' .. job)
if text ~= '' then
  redis.call('HSET', summary, 'text', text, 'until', last)
  redis.call('PEXPIRE', summary, ttl_ms)
end
return {'OK', redis.call('LLEN', history)}
