-- `quoted` writes a text as JSON; `last_event` is the event of a job that ends without a turn.
local function quoted(text)
  local function escaped(character) return string.format('\\u%04x', character:byte()) end
  return '"' .. text:gsub('[%c"\\]', escaped) .. '"'
end
local function last_event(kind, one, attempt, name, value)
  local data = name and ',"data":{"' .. name .. '":' .. quoted(value) .. '}' or ''
  return '{"type":"' .. kind .. '","job":' .. quoted(one) .. ',"attempt":' .. attempt .. data .. '}'
end
-- `end_job` ends a job: it marks it as done, takes it out of the mailbox, and writes its last event
-- into the stream and into the outbox, with what follows the job in Celery. There it stays until
-- its result is delivered: `owner` has `grace_ms` for that, then anybody may take it. Marks are
-- kept for `dedupe_ms`.
local function end_job(one, mark_ms, last)
  redis.call('ZADD', done, mark_ms, one)
  redis.call('ZREMRANGEBYSCORE', done, dedupe_ms - now_ms, now_ms - dedupe_ms)
  live(done, dedupe_ms)
  if redis.call('ZREM', queue, one) == 0 then redis.call('ZREM', delayed, one) end
  redis.call('HDEL', jobs, one)
  redis.call('XADD', events, 'MAXLEN', '~', events_max, '*', 'event', last)
  -- Not the time that a history waits for its archive. Where most of it is left it is not written.
  local told_s = ttl_s % 31536000000
  if redis.call('PTTL', events) < 900 * told_s then redis.call('EXPIRE', events, told_s) end
  local follows = redis.call('HGET', callbacks, one)
  redis.call('HSET', outbox, one, string.format('%d %d %s %d ', now_ms + grace_ms, grace_ms,
    owner, #last) .. last .. (follows or ''))
  redis.call('PEXPIRE', outbox, dedupe_ms)
  if follows then redis.call('HDEL', callbacks, one) end
  if redis.call('EXISTS', queue, delayed) > 0 then return keep_history() end
  -- A TTL that was given with the history may be longer; it is not shortened.
  local expires_at = redis.call('HGET', lease, 'expires_at')
  local left_ms = (tonumber(expires_at) or 0) - now_ms
  left_ms = math.max(left_ms, redis.call('PTTL', history), ttl_s * 1000)
  redis.call('PEXPIRE', history, left_ms)
  if expires_at then redis.call('HDEL', lease, 'expires_at') end
end
-- What the lease says of a head that is gone is not about the next one.
local function forget_attempt()
  redis.call('HDEL', lease, 'token', 'until', 'job', 'attempt', 'not_before', 'seq', 'failed',
    'woken_at', 'wakes', 'slot_wait_until', 'lease_ms', 'delay_ms', 'slot_wait_ms', 'errors',
    'servers_away_since', 'paused')
end
