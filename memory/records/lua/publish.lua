#!lua
-- PUBLISH: append events of one attempt to a session's stream, while its token holds the lease:
-- what a worker says that has lost its job, or whose session was erased, is dropped. Refused when
-- Redis is out of memory (no allow-oom). Safe to repeat: a higher number comes with each call of
-- a token.
--
-- KEYS  lease:hash? events:stream?
-- ARGV  token number events_max ttl_s messages...
-- token: '' for an event of no attempt, which is dropped where there is no stream
-- Returns
--   1                            appended, or it was before
--   0                            dropped
--   {'CORRUPT', key, type}       a key of another type; nothing was written

-- What is written here goes into Redis' file too, for each few tokens: so nothing that need not be.
-- The last entry of a call has the call's number, behind the beginning of the token; that there are
-- such entries says the lease. What came later of others, a job that was sent, has no number; never
-- have 30 of them come between a call and its repeat.
local caller, amounts = token:sub(1, 12), {1, 30}
local function last_number()
  for _, amount in ipairs(amounts) do
    for _, entry in ipairs(redis.call('XREVRANGE', events, '+', '-', 'COUNT', amount)) do
      if entry[2][3] == 'by' then
        local whose, number = entry[2][4]:match('^(%S+) (%d+)$')
        return whose == caller and tonumber(number) or -1
      end
    end
  end
  return -1
end
local entries = redis.call('XLEN', events) + #ARGV - 4
if token == '' then
  if redis.call('EXISTS', events) == 0 then return 0 end
else
  local held = redis.call('HMGET', lease, 'token', 'published')
  if held[1] ~= token then return 0 end
  if held[2] ~= caller then redis.call('HSET', lease, 'published', caller)
  elseif last_number() >= tonumber(number) then return 1 end
end
for i = 5, #ARGV - 1 do redis.call('XADD', events, '*', 'event', ARGV[i]) end
if token == '' then redis.call('XADD', events, '*', 'event', ARGV[#ARGV])
else redis.call('XADD', events, '*', 'event', ARGV[#ARGV], 'by', caller .. ' ' .. number) end
if entries > tonumber(events_max) then redis.call('XTRIM', events, 'MAXLEN', '~', events_max) end
if redis.call('PTTL', events) < 900 * ttl_s then redis.call('EXPIRE', events, ttl_s) end
return 1
