-- Each class has a tag: the turn at which its next waiter is due. The smallest tag gets the next
-- slot, and moves on by the stride of its class, which is the smaller the larger its share. A class
-- in which nobody waits has no tag: it comes back a stride after the turn that was served last.
local strides, whole = {}, 1
for share in string.gmatch(shares, '%d+') do
  table.insert(strides, tonumber(share))
  whole = whole * share
end
for i, share in ipairs(strides) do strides[i] = whole / share end
local noted = {}
for tag in string.gmatch(redis.call('HGET', call_stats, 'class_turns') or '', '%d+') do
  table.insert(noted, tonumber(tag))
end
local function tag_of(i)
  local tag = noted[i + 1] or 0
  return tag > 0 and tag or (noted[1] or 0) + strides[i]
end
