-- `ahead`: how many get a slot before `entry`. In each round of its class before its own, every
-- agent that still has waiters gets one slot.
local rounds = redis.call('ZLEXCOUNT', waiters, '[' .. agent .. ':', '(' .. entry)
local turn = redis.call('ZCOUNT', round_robin, class.turn,
  '(' .. redis.call('ZSCORE', round_robin, agent))
local agents = redis.call('ZCOUNT', round_robin, class.turn, class.last_turn)
local ahead = rounds * agents + turn
if rounds > 0 and agents <= 100 then
  ahead = rounds
  for i, other in ipairs(redis.call('ZRANGEBYSCORE', round_robin, class.turn, class.last_turn)) do
    local waiting = redis.call('ZLEXCOUNT', waiters, '[' .. other .. ':', '(' .. other .. ';')
    if i ~= turn + 1 then ahead = ahead + math.min(waiting, i <= turn and rounds + 1 or rounds) end
  end
end
-- Of the other classes come those that are due before it; of equal tags the more urgent.
local own, others = 2, 0
for i, one in ipairs(classes) do if one == class then own = i end end
local due = tag_of(own) + ahead * strides[own]
for i, other in ipairs(classes) do
  if i ~= own then
    local waiting = redis.call('ZLEXCOUNT', waiters, other.from, other.to)
    local turns = math.floor((due - (i < own and 0 or 1) - tag_of(i)) / strides[i]) + 1
    others = others + math.min(waiting, math.max(0, turns))
  end
end
ahead = ahead + others
