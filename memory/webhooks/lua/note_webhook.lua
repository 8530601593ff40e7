#!lua flags=allow-oom
-- NOTE_WEBHOOK: take in a webhook that is to be sent. Before its job's end leaves the outbox: where
-- somebody dies in between, it is noted once more. Safe to repeat: KNOWN.
--
-- KEYS  webhook_hosts:zset webhook_due:zset webhooks:hash webhook_sessions:zset webhook_letters:zset
-- ARGV  event host session record most kept_ms
-- session: the key of its history; most: how many may be pending; kept_ms: how long the keys live
-- after the last write
-- Returns
--   {'OK', pending}              it is due now; pending: how many are, with it
--   {'KNOWN', pending}           it was there
--   {'FULL', pending}            `most` are pending: it is a dead letter
--   {'CORRUPT', key, type}       a key of another type; nothing was written

-- include clock
-- include next_webhook
local pending = redis.call('HLEN', webhooks) - redis.call('ZCARD', webhook_letters)
if redis.call('HEXISTS', webhooks, event) == 1 then return {'KNOWN', pending} end
redis.call('HSET', webhooks, event, record)
redis.call('ZADD', webhook_sessions, 0, session .. ' ' .. event)
local is_full = pending >= tonumber(most)
if is_full then redis.call('ZADD', webhook_letters, now_ms, event)
else redis.call('ZADD', webhook_due, now_ms, event) end
note_next()
for i = 1, #KEYS do redis.call('PEXPIRE', KEYS[i], kept_ms) end
if is_full then return {'FULL', pending} end
return {'OK', pending + 1}
