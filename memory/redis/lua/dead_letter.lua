-- `keep_dead_letter` keeps a job that is given up, as netstrings: its envelope needs no decoding.
local function keep_dead_letter(envelope, attempt, reason)
  local letter = ''
  local facts = {job, redis.call('ZSCORE', queue, job), attempt, now_ms, reason, envelope}
  for _, fact in ipairs(facts) do letter = letter .. #tostring(fact) .. ':' .. fact .. ',' end
  redis.call('RPUSH', dead, letter)
  redis.call('LTRIM', dead, -dead_max, -1)
  redis.call('PEXPIRE', dead, dead_ms)
end
