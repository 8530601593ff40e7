-- `add_usage` adds numbers to a row of a day, and keeps the day for 400. A kind has at most
-- `most_names` rows of its own a day: what a further name uses goes to the row without a name.
-- `today` is the day by this server's clock; of the three that were passed it is the second, but
-- around midnight and where the clocks differ.
local today = KEYS[#KEYS - 2 + math.max(0, math.min(2, math.floor(now_ms / 86400000) - first_day))]
local function add_usage(day, name, numbers)
  local kind = name:sub(1, 2)
  local row = redis.call('HGET', day, name)
  if not row and name ~= kind then
    local names = tonumber(redis.call('HGET', day, '#' .. kind)) or 0
    if names < tonumber(most_names) then redis.call('HSET', day, '#' .. kind, names + 1)
    else
      name = kind
      row = redis.call('HGET', day, name)
    end
  end
  local sums, before = {}, (row or ''):gmatch('%d+')
  for number in numbers:gmatch('%d+') do
    table.insert(sums, string.format('%.0f', number + (before() or 0)))
  end
  redis.call('HSET', day, name, table.concat(sums, ' '))
  if redis.call('PTTL', day) < 0 then redis.call('PEXPIRE', day, 400 * 86400000) end
end
