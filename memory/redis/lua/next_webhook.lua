-- `note_next` notes of a host when its next webhook is due; of one that has none nothing is kept.
local function note_next()
  local first = redis.call('ZRANGE', webhook_due, 0, 0, 'WITHSCORES')
  if first[2] then redis.call('ZADD', webhook_hosts, first[2], host)
  else redis.call('ZREM', webhook_hosts, host) end
end
