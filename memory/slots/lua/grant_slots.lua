#!lua flags=allow-oom
-- GRANT_SLOTS: reserve each free slot for the next waiter: the classes by their shares, in a class
-- the agents in turn, of each the job that arrived first; the servers in turn too, so that their
-- load is even. Safe to repeat; a session named in a lost reply is named again after EXPIRE_SLOTS.
--
-- KEYS  waiters:zset round_robin:zset call_stats:hash slots...:zset
-- ARGV  limits shares reserve_ms ttl_ms
-- slots: of the servers that may be asked; limits: slots of each of them, as `4,1`; shares: of each
-- class, as `80/15/5`
-- Returns
--   {'OK', session, session, …}  a slot is reserved for each, for `reserve_ms`: wake them
--   {'CORRUPT', key, type}       a key of another type; nothing was written

if redis.call('ZCARD', waiters) == 0 then return {'OK'} end
-- include clock
-- include classes
-- include class_turns
-- include next_class
-- include limits
local function first_of(class)
  -- Bounded, whatever a key holds: each pass finds a session or drops an agent.
  for _ = 0, redis.call('ZCARD', round_robin) do
    local agent = redis.call('ZRANGEBYSCORE', round_robin, class.turn, class.last_turn,
      'LIMIT', 0, 1)[1] or string.match(redis.call('ZRANGEBYLEX', waiters, class.from, class.to,
      'LIMIT', 0, 1)[1] or '', '^[^:]*')
    local first, more = unpack(redis.call('ZRANGEBYLEX', waiters, '[' .. agent .. ':',
      '(' .. agent .. ';', 'LIMIT', 0, 2))
    redis.call('ZREM', round_robin, agent)
    if more then join_round(agent) end
    if first then
      redis.call('ZREM', waiters, first)
      return (string.gsub(string.sub(first, #class.mark + 1), ':%d+:', ':', 1))
    end
  end
end

-- One slot per server and pass, so that the load of the servers is even.
local reply = {'OK'}
for _ = 1, math.max(unpack(limit_of)) do
  if redis.call('ZCARD', waiters) == 0 then break end
  for i = 4, #KEYS do
    local session = redis.call('ZCARD', KEYS[i]) < limit_of[i - 3] and next_waiter(first_of)
    if session then
      redis.call('ZADD', KEYS[i], now_ms + reserve_ms, session)
      redis.call('PEXPIRE', KEYS[i], ttl_ms)
      table.insert(reply, session)
    end
  end
end
redis.call('PEXPIRE', round_robin, ttl_ms)
return reply
