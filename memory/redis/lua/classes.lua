-- The classes of waiters, the most urgent first. An entry of `waiters` is
-- <mark><agent>:<arrived>:<session>, a member of `round_robin` <mark><agent>: no id begins with a
-- mark. Each class has a range of entries, and a range of turns in the round of its agents.
local turns_of_a_class = 1000000000000
local classes = {
  {name = 'interactive', mark = '!', from = '[!', to = '("', turn = -2 * turns_of_a_class},
  {name = 'normal', mark = '', from = '[$', to = '+', turn = 0},
  {name = 'batch', mark = '#', from = '[#', to = '($', turn = 2 * turns_of_a_class},
}
for _, class in ipairs(classes) do
  classes[class.name], classes[class.mark], class.last_turn = class, class,
    class.turn + turns_of_a_class
end
-- `join_round` makes an agent the last of the round of its class, unless it has its turn already.
local function join_round(agent)
  local class = classes[string.match(agent, '^[!#]?')]
  local last = redis.call('ZREVRANGEBYSCORE', round_robin, class.last_turn, class.turn,
    'WITHSCORES', 'LIMIT', 0, 1)
  redis.call('ZADD', round_robin, 'NX', (tonumber(last[2]) or class.turn) + 1, agent)
end
