-- `next_class` is the class whose turn it is. Where one class waits alone nothing is owed, and
-- nothing noted.
local function next_class()
  local waiting, chosen = 0, nil
  for i, class in ipairs(classes) do
    class.waits = redis.call('ZRANGEBYLEX', waiters, class.from, class.to, 'LIMIT', 0, 1)[1] ~= nil
    if class.waits then
      waiting = waiting + 1
      if not chosen or tag_of(i) < tag_of(chosen) then chosen = i end
    end
  end
  if waiting < 2 then
    if #noted > 0 then redis.call('HDEL', call_stats, 'class_turns') end
    noted = {}
    return chosen and classes[chosen]
  end
  local tags = {tag_of(chosen)}
  for i, class in ipairs(classes) do tags[i + 1] = class.waits and tag_of(i) or 0 end
  tags[chosen + 1] = tags[1] + strides[chosen]
  noted = tags
  redis.call('HSET', call_stats, 'class_turns', string.format('%.0f %.0f %.0f %.0f', unpack(tags)))
  redis.call('PEXPIRE', call_stats, ttl_ms)
  return classes[chosen]
end
-- The next waiter, as `first_of` a class names it. An entry that is none of ours must not keep the
-- turn of its class from the others.
local function next_waiter(first_of)
  local class = next_class()
  local session = class and first_of(class)
  for i = 1, #classes do session = session or first_of(classes[i]) end
  return session
end
