-- Answers CORRUPT for a key of another type than the header says, before anything is written.
-- `kinds` is made from the header; its last one stands for all keys from there on.
for i, key in ipairs(KEYS) do
  local kind, found = kinds[i] or kinds[#kinds], redis.call('TYPE', key).ok
  if found ~= kind and found ~= 'none' then return {'CORRUPT', key, found} end
end
