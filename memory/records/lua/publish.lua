#!lua
-- PUBLISH: append events of one attempt to a session's stream, while its token holds the lease:
-- what a worker says that has lost its job, or whose session was erased, is dropped. Refused when
-- Redis is out of memory (no allow-oom). Safe to repeat: a higher number comes with each call of
-- a token.
--
-- KEYS  lease:hash events:stream
-- ARGV  token number events_max ttl_s messages...
-- token: '' for an event of no attempt, which is dropped where there is no stream
-- Returns
--   1                            appended, or it was before
--   0                            dropped
--   {'CORRUPT', key, type}       a key of another type; nothing was written

if token == '' then
  if redis.call('EXISTS', events) == 0 then return 0 end
else
  local held = redis.call('HMGET', lease, 'token', 'published')
  if held[1] ~= token then return 0 end
  local whose, last = (held[2] or ''):match('^(%S+) (%d+)$')
  if whose == token and tonumber(last) >= tonumber(number) then return 1 end
  redis.call('HSET', lease, 'published', token .. ' ' .. number)
end
for i = 5, #ARGV do redis.call('XADD', events, '*', 'event', ARGV[i]) end
-- What is written here goes into Redis' file too, for each few tokens: so nothing that need not be.
if redis.call('XLEN', events) > tonumber(events_max) then
  redis.call('XTRIM', events, 'MAXLEN', '~', events_max)
end
if redis.call('PTTL', events) < 900 * ttl_s then redis.call('EXPIRE', events, ttl_s) end
return 1
