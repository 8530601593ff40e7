-- Answers CORRUPT for a key of another type than the header says, before anything is written.
-- `kinds` is made from the header; its last one stands for all keys from there on. false: the body
-- asks for this key.
for i, key in ipairs(KEYS) do
  local kind = kinds[i]
  if kind == nil then kind = kinds[#kinds] end
  local found = kind and redis.call('TYPE', key).ok
  if found and found ~= kind and found ~= 'none' then return {'CORRUPT', key, found} end
end
