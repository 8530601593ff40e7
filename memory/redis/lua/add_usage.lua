-- `add_usage` adds numbers to what a row gets, and `keep_usage` writes all of that into a day, which
-- is kept for 400. A kind has at most `most_names` rows of its own a day: what a further name uses
-- goes to the row without a name. `today` is the day by this server's clock; of the three that were
-- passed it is the second, but around midnight and where the clocks differ.
local today = KEYS[#KEYS - 2 + math.max(0, math.min(2, math.floor(now_ms / 86400000) - first_day))]
local added = {}
local function add_usage(name, numbers)
  local row = added[name] or {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
  for i, number in ipairs(numbers) do row[i] = row[i] + number end
  added[name] = row
end
local function numbers_in(packed)
  local numbers = {}
  for number in packed:gmatch('%d+') do table.insert(numbers, tonumber(number)) end
  return numbers
end
local function keep_usage(day)
  if not next(added) then return end
  for name, numbers in pairs(added) do
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
    for i, number in ipairs(numbers_in(row or '')) do numbers[i] = (numbers[i] or 0) + number end
    for i, number in ipairs(numbers) do numbers[i] = string.format('%.0f', number) end
    redis.call('HSET', day, name, table.concat(numbers, ' '))
  end
  if redis.call('PTTL', day) < 0 then redis.call('PEXPIRE', day, 400 * 86400000) end
end
