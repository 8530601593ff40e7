#!lua flags=allow-oom
-- PUT_OFF_WEBHOOK: send a webhook in `wait_ms`, be it one that failed or a dead letter. Safe to
-- repeat.
--
-- KEYS  webhook_hosts:zset webhook_due:zset webhooks:hash webhook_sessions:zset webhook_letters:zset
-- ARGV  event host record wait_ms kept_ms
-- record: what is kept of it from now on
-- Returns
--   1                            it is due then
--   0                            it is gone: it was delivered, dropped or erased
--   {'CORRUPT', key, type}       a key of another type; nothing was written

-- include clock
-- include next_webhook
if redis.call('HEXISTS', webhooks, event) == 0 then return 0 end
redis.call('HSET', webhooks, event, record)
redis.call('ZREM', webhook_letters, event)
redis.call('ZADD', webhook_due, now_ms + wait_ms, event)
note_next()
for i = 1, #KEYS do redis.call('PEXPIRE', KEYS[i], kept_ms) end
return 1
