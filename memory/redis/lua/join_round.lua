-- `join_round` makes an agent the last of the round, unless it has its turn already.
local function join_round(agent)
  local last = redis.call('ZRANGE', round_robin, -1, -1, 'WITHSCORES')
  redis.call('ZADD', round_robin, 'NX', (tonumber(last[2]) or 0) + 1, agent)
end
