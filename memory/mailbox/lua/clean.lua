#!lua flags=allow-oom
-- CLEAN: delete the conversation of a session that was not used for `idle_ms`. The marks of its
-- done jobs, its dead letters and its lease stay for their own time: without the marks a late
-- message would run a job again. Whether the history was used is the server's own note of its last
-- access; without one (an LFU policy) it counts as used. A history that somebody has given a longer
-- TTL than `ttl_ms` lives until that ends. Safe to repeat.
--
-- KEYS  history:list queue:zset lease:hash events:stream summary:hash delayed:zset archive:hash
-- ARGV  idle_ms ttl_ms
-- ttl_ms: of a history to which nobody has given another one
-- Returns
--   {'PENDING', jobs}            work is waiting, or delayed; nothing was deleted
--   {'BUSY', ms}                 a lease lives for `ms`; nothing was deleted
--   {'FRESH', unused_ms}         used `unused_ms` ago, or kept by its TTL; nothing was deleted
--   {'DELETED', keys}            how many keys; 0 where there was nothing
--   {'CORRUPT', key, type}       a key of another type; nothing was deleted

-- include clock
local pending = redis.call('ZCARD', queue) + redis.call('ZCARD', delayed)
if pending > 0 then return {'PENDING', pending} end
local held = redis.call('HMGET', lease, 'token', 'until', 'last', 'lease_ms')
local live_ms = held[1] and left_ms(lease, 'until', held[2], held[4]) or 0
if live_ms > 0 then return {'BUSY', live_ms} end
local unused_ms, given_ms = now_ms - math.floor((tonumber(held[3]) or 0) / 1000), 0
if redis.call('EXISTS', history) == 1 then
  local idle_s = redis.pcall('OBJECT', 'IDLETIME', history)
  -- With an LFU policy the server keeps no idle time.
  if type(idle_s) ~= 'number' then idle_s = 0 end
  unused_ms = math.min(unused_ms, idle_s * 1000)
  local left_ms = redis.call('PTTL', history)
  -- Not the time that a history waits for its archive.
  local hold_ms = 31536000000000
  if left_ms > hold_ms / 2 then left_ms = left_ms - hold_ms end
  if left_ms > 0 then given_ms = idle_s * 1000 + left_ms end
end
-- The server counts idle time by whole seconds.
local is_given = given_ms > ttl_ms + 2000
if unused_ms < tonumber(idle_ms) or is_given then return {'FRESH', unused_ms} end
return {'DELETED', redis.call('UNLINK', history, events, summary, archive)}
