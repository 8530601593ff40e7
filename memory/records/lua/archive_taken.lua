#!lua flags=allow-oom
-- ARCHIVE_TAKEN: remove from a history what the archive has written of it, if the history still
-- begins with that. With `is_all` the whole conversation leaves Redis, as if its TTL had ended,
-- unless somebody has come back meanwhile. Safe to repeat: MOVED, and nothing happens.
--
-- KEYS  history:list lease:hash archive:hash summary:hash events:stream queue:zset delayed:zset
-- ARGV  generation first taken oldest newest is_all hold_ms
-- oldest, newest: SHA-1 of the first and the last record that was written; taken: how many
-- Returns
--   {'OK', left}                 how many messages stay
--   {'MOVED', messages}          it is another history by now, or begins with other messages
--   {'USED', messages}           it is to leave Redis, and is in use; nothing was removed
--   {'CORRUPT', key, type}       a key of another type; nothing was removed

local messages = redis.call('LLEN', history)
local known = redis.call('HMGET', archive, 'generation', 'first')
local function is_at(place, sha)
  local record = redis.call('LINDEX', history, place)
  return record and redis.sha1hex(record) == sha
end
if known[1] ~= generation or (tonumber(known[2]) or 0) ~= tonumber(first)
  or not is_at(0, oldest) or not is_at(taken - 1, newest) then return {'MOVED', messages} end
redis.call('HDEL', lease, 'size')
if is_all ~= '1' then
  redis.call('HSET', archive, 'first', first + taken)
  redis.call('LTRIM', history, taken, -1)
  return {'OK', messages - taken}
end
local left_ms = redis.call('PTTL', history)
if messages ~= tonumber(taken) or left_ms < 0 or left_ms > tonumber(hold_ms)
  or redis.call('EXISTS', queue, delayed) > 0 then return {'USED', messages} end
redis.call('UNLINK', history, summary, archive, events)
return {'OK', 0}
