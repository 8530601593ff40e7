#!lua flags=allow-oom
-- CLAIM_WEBHOOKS: webhooks of one host that are due, the longest due first. They are the
-- caller's for `lease_ms`, then due again. Safe to repeat: those of a lost reply come back when
-- that is over.
--
-- KEYS  webhook_hosts:zset webhook_due:zset webhooks:hash
-- ARGV  host limit lease_ms
-- Returns
--   {'OK', event, record, …}     at most `limit` of them
--   {'CORRUPT', key, type}       a key of another type; nothing was written

-- include clock
-- include next_webhook
local reply = {'OK'}
local found = redis.call('ZRANGEBYSCORE', webhook_due, '-inf', now_ms, 'LIMIT', 0, limit)
for _, event in ipairs(found) do
  local record = redis.call('HGET', webhooks, event)
  if record then
    redis.call('ZADD', webhook_due, now_ms + lease_ms, event)
    table.insert(reply, event)
    table.insert(reply, record)
  else
    redis.call('ZREM', webhook_due, event)
  end
end
note_next()
return reply
