-- `note_error` keeps what an attempt at the head came to, as netstrings, until the job has ended: a
-- dead letter says it of each.
local function note_error(attempt, error)
  local kept = redis.call('HGET', lease, 'errors') or ''
  for _, fact in ipairs({attempt, now_ms, error}) do
    kept = kept .. #tostring(fact) .. ':' .. fact .. ','
  end
  redis.call('HSET', lease, 'errors', kept)
end
