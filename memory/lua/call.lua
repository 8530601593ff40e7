#!lua flags=allow-oom
-- CALL: keep each place that is free for the first in line: the agents in turn, of each the job
-- that arrived first; the servers in turn too, so that their load is even.
-- Safe to repeat; whoever was named in a reply that got lost is named again after LAPSE.
--
-- KEYS  line turns places...
-- ARGV  limit reserve_ms ttl_ms now_us
-- places: of the servers that may be asked; limit: places that each has;
-- now_us is the server's TIME where it is ''
-- Returns
--   {'OK', session, session, …}  a place is kept for each, for `reserve_ms`: wake them
--   {'CORRUPT', key, type}       a key of another type; nothing was written
for _, key in ipairs(KEYS) do
  local found = redis.call('TYPE', key).ok
  if found ~= 'zset' and found ~= 'none' then return {'CORRUPT', key, found} end
end
local line, turns = unpack(KEYS)
local limit, reserve_ms, ttl_ms, now_us = unpack(ARGV)
local time = redis.call('TIME')
local now_ms = math.floor((tonumber(now_us) or time[1] * 1000000 + time[2]) / 1000)
local function next_in_line()
  -- Bounded, whatever somebody has done to a key: each pass finds a session or drops an agent.
  for _ = 0, redis.call('ZCARD', turns) do
    local agent = redis.call('ZRANGE', turns, 0, 0)[1]
      or string.match(redis.call('ZRANGE', line, 0, 0)[1] or '', '^[^:]*')
    local first, more = unpack(redis.call('ZRANGEBYLEX', line, '[' .. agent .. ':',
      '(' .. agent .. ';', 'LIMIT', 0, 2))
    redis.call('ZREM', turns, agent)
    local last = redis.call('ZRANGE', turns, -1, -1, 'WITHSCORES')
    if more then redis.call('ZADD', turns, (tonumber(last[2]) or 0) + 1, agent) end
    if first then
      redis.call('ZREM', line, first)
      return (string.gsub(first, ':%d+:', ':', 1))
    end
  end
end

local reply = {'OK'}
for _ = 1, limit do
  if redis.call('ZCARD', line) == 0 then break end
  for i = 3, #KEYS do
    local session = redis.call('ZCARD', KEYS[i]) < tonumber(limit) and next_in_line()
    if session then
      redis.call('ZADD', KEYS[i], now_ms + reserve_ms, session)
      redis.call('PEXPIRE', KEYS[i], ttl_ms)
      table.insert(reply, session)
    end
  end
end
redis.call('PEXPIRE', turns, ttl_ms)
return reply
