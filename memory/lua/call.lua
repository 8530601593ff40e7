#!lua flags=allow-oom
-- CALL: keep each place that is free for the first in line: the agents in turn, of each the job
-- that arrived first. A place whose holder gave no sign of life is free; a session that did not
-- come for the place kept for it stands in line again.
-- Safe to repeat; whoever was named in a reply that got lost is named again later.
--
-- KEYS  places line turns arrivals
-- ARGV  limit reserve_ms ttl_ms now_us
-- limit: places that there are; now_us is the server's TIME where it is ''
-- Returns
--   {'OK', session, session, …}  a place is kept for each, for `reserve_ms`: wake them
--   {'CORRUPT', key, type}       a key of another type; nothing was written
for i, kind in ipairs({'zset', 'zset', 'zset', 'hash'}) do
  local found = redis.call('TYPE', KEYS[i]).ok
  if found ~= kind and found ~= 'none' then return {'CORRUPT', KEYS[i], found} end
end
local places, line, turns, arrivals = unpack(KEYS)
local limit, reserve_ms, ttl_ms, now_us = unpack(ARGV)
local time = redis.call('TIME')
local now_ms = math.floor((tonumber(now_us) or time[1] * 1000000 + time[2]) / 1000)
local function last_of_round(agent)
  local last = redis.call('ZRANGE', turns, -1, -1, 'WITHSCORES')
  redis.call('ZADD', turns, 'NX', (tonumber(last[2]) or 0) + 1, agent)
end

for _, lapsed in ipairs(redis.call('ZRANGEBYSCORE', places, '-inf', now_ms)) do
  redis.call('ZREM', places, lapsed)
  local arrived = redis.call('HGET', arrivals, lapsed)
  if arrived then
    redis.call('ZADD', line, 0, (string.gsub(lapsed, ':', ':' .. arrived .. ':', 1)))
    last_of_round((string.match(lapsed, '^[^:]*')))
  end
end
local reply = {'OK'}
-- Bounded, whatever somebody has done to a key: each pass calls a session or drops an agent.
for _ = 1, limit + redis.call('ZCARD', turns) do
  if redis.call('ZCARD', places) >= tonumber(limit) or redis.call('ZCARD', line) == 0 then break end
  local agent = redis.call('ZRANGE', turns, 0, 0)[1]
    or string.match(redis.call('ZRANGE', line, 0, 0)[1], '^[^:]*')
  local first, more = unpack(redis.call('ZRANGEBYLEX', line, '[' .. agent .. ':',
    '(' .. agent .. ';', 'LIMIT', 0, 2))
  redis.call('ZREM', turns, agent)
  if more then last_of_round(agent) end
  if first then
    local session = string.gsub(first, ':%d+:', ':', 1)
    redis.call('ZREM', line, first)
    redis.call('ZADD', places, now_ms + reserve_ms, session)
    table.insert(reply, session)
  end
end
for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, ttl_ms) end
return reply
