#!lua
-- SWAP_ELEMENTS: write elements of a list anew, each where it lies now; what was removed meanwhile
-- stays so. Refused when Redis is out of memory. Safe to repeat: 0.
--
-- KEYS  elements:list
-- ARGV  swaps...
-- swaps: place, old, new, place, old, new, …; place: where the element was read, from 0
-- Returns
--   {'OK', written}              how many elements
--   {'CORRUPT', key, type}       a key of another type; nothing was written

-- The oldest may have been trimmed: then all others lie that much further ahead.
local written, ahead = 0, 0
for i = 1, #ARGV, 3 do
  local place = ARGV[i] - ahead
  if redis.call('LINDEX', elements, place) ~= ARGV[i + 1] then
    place = redis.call('LPOS', elements, ARGV[i + 1])
    ahead = place and ARGV[i] - place or ahead
  end
  if place then
    redis.call('LSET', elements, place, ARGV[i + 2])
    written = written + 1
  end
end
return {'OK', written}
