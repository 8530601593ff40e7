#!lua flags=allow-oom
-- END_WEBHOOK: forget a webhook: its receiver has it, or somebody drops or erases it. Safe to
-- repeat.
--
-- KEYS  webhook_hosts:zset webhook_due:zset webhooks:hash webhook_sessions:zset webhook_letters:zset
-- ARGV  event host session
-- session: the key of its history
-- Returns
--   1                            it is gone
--   0                            it was gone
--   {'CORRUPT', key, type}       a key of another type; nothing was removed

-- include next_webhook
redis.call('ZREM', webhook_due, event)
redis.call('ZREM', webhook_letters, event)
redis.call('ZREM', webhook_sessions, session .. ' ' .. event)
note_next()
return redis.call('HDEL', webhooks, event)
