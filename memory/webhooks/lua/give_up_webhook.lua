#!lua flags=allow-oom
-- GIVE_UP_WEBHOOK: make a webhook a dead letter. Of more than `most` of them, and of those older
-- than `letter_ms`, the oldest go. Safe to repeat.
--
-- KEYS  webhook_hosts:zset webhook_due:zset webhooks:hash webhook_sessions:zset webhook_letters:zset
-- ARGV  event host record most letter_ms kept_ms
-- record: what is kept of it from now on
-- Returns
--   1                            it is a dead letter
--   0                            it is gone: it was delivered, dropped or erased
--   {'CORRUPT', key, type}       a key of another type; nothing was written

-- include clock
-- include next_webhook
if redis.call('HEXISTS', webhooks, event) == 0 then return 0 end
redis.call('HSET', webhooks, event, record)
redis.call('ZREM', webhook_due, event)
redis.call('ZADD', webhook_letters, now_ms, event)
note_next()
local old = redis.call('ZRANGEBYSCORE', webhook_letters, '-inf', now_ms - letter_ms,
  'LIMIT', 0, 100)
if redis.call('ZCARD', webhook_letters) > tonumber(most) then
  table.insert(old, redis.call('ZRANGE', webhook_letters, 0, 0)[1])
end
for _, one in ipairs(old) do
  local its_session = (redis.call('HGET', webhooks, one) or ''):match('^%S+ (%S+) ') or ''
  redis.call('ZREM', webhook_sessions, its_session .. ' ' .. one)
  redis.call('ZREM', webhook_letters, one)
  redis.call('HDEL', webhooks, one)
end
for i = 1, #KEYS do redis.call('PEXPIRE', KEYS[i], kept_ms) end
return 1
