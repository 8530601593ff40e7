#!lua
-- SWAP_FIELDS: write fields of a hash anew, each unless it was written meanwhile. Refused when
-- Redis is out of memory. Safe to repeat: 0.
--
-- KEYS  fields:hash
-- ARGV  swaps...
-- swaps: field, old, new, field, old, new, …
-- Returns
--   {'OK', written}              how many fields
--   {'CORRUPT', key, type}       a key of another type; nothing was written

local written = 0
for i = 1, #ARGV, 3 do
  if redis.call('HGET', fields, ARGV[i]) == ARGV[i + 1] then
    redis.call('HSET', fields, ARGV[i], ARGV[i + 2])
    written = written + 1
  end
end
return {'OK', written}
