#!lua flags=allow-oom
-- TAKE_SLOT: take a slot of a model: the one that is reserved for the session, else a free one at
-- the first server that has one. A new session overtakes no waiter. A session with a reserved slot,
-- or one that moves from a server that may not be asked any more, does not wait again.
-- Safe to repeat: the same token gets the same slot again.
--
-- KEYS  waiters:zset round_robin:zset enqueued_at:hash call_stats:hash slots...:zset
-- ARGV  session token lease_ms limits choice ttl_ms
-- slots: of all servers; only the first `choice` of them may be asked, the best first;
-- session: <agent>:<session>; limits: slots of each of the servers, as `4,1`
-- Returns
--   {'OK', number}               at which of the servers, from 1; it expires `lease_ms` from now
--                                unless RENEW_SLOT or RELEASE_SLOT comes first. 0: none is free,
--                                and the session has none any more: FAIL, then WAIT_FOR_SLOT
--   {'CORRUPT', key, type}       a key of another type; nothing was written

-- include clock
-- include limits
local mine, kept
for i = 5, #KEYS do
  if redis.call('ZSCORE', KEYS[i], token) then mine = i end
  if redis.call('ZSCORE', KEYS[i], session) then kept = i end
end
if kept then
  redis.call('ZREM', KEYS[kept], session)
  redis.call('HDEL', enqueued_at, session)
  mine = mine or kept
end
-- It has waited its time already.
local was_let_in = mine
if mine and mine > 4 + choice then
  redis.call('ZREM', KEYS[mine], token)
  mine = nil
end
for i = 5, 4 + choice do
  -- A new session overtakes no waiter, even where a slot is free for a moment.
  local may_choose = not mine and (was_let_in or redis.call('ZCARD', waiters) == 0)
  if may_choose and redis.call('ZCARD', KEYS[i]) < limit_of[i - 4] then mine = i end
end
if not mine then return {'OK', 0} end
redis.call('ZADD', KEYS[mine], now_ms + lease_ms, token)
redis.call('PEXPIRE', KEYS[mine], ttl_ms)
return {'OK', mine - 4}
