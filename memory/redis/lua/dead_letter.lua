-- `keep_dead_letter` keeps a job that is given up, as netstrings: its envelope needs no decoding. The
-- last of them holds what each attempt came to. Of an envelope over `dead_bytes`, which another
-- program has written, only the size is kept.
local function keep_dead_letter(envelope, attempt, reason)
  local letter = ''
  if #envelope > tonumber(dead_bytes) then envelope = 'too large: ' .. #envelope end
  local errors = held[3] == job and redis.call('HGET', lease, 'errors') or ''
  local seq_us = redis.call('ZSCORE', queue, job) or 0
  local facts = {job, seq_us, attempt, now_ms, reason, envelope, errors}
  for _, fact in ipairs(facts) do letter = letter .. #tostring(fact) .. ':' .. fact .. ',' end
  redis.call('RPUSH', dead, letter)
  redis.call('LTRIM', dead, -dead_max, -1)
  redis.call('PEXPIRE', dead, dead_ms)
end
