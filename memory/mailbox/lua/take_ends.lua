#!lua flags=allow-oom
-- TAKE_ENDS: the ends in a session's outbox that `owner` may deliver: its own, and those whose
-- owner had its time. They are the owner's for `claim_ms` from now. Safe to repeat.
--
-- KEYS  outbox:hash
-- ARGV  owner claim_ms limit
-- limit: how many ends at most
-- Returns
--   {'OK', left, job, end, job, end, …}  left: how many more there are; end: size of the job's
--                                last event, a space, that event, what follows the job in
--                                Celery; '' for an element that is none
--   {'CORRUPT', key, type}       a key of another type; nothing was written

-- include clock
local left = redis.call('HLEN', outbox)
-- Of very many ends a part is looked at, another one each time: a script holds all sessions up.
local ends
if left <= 5 * limit then ends = redis.call('HGETALL', outbox)
else ends = redis.call('HRANDFIELD', outbox, 5 * limit, 'WITHVALUES') end
local reply = {'OK', left}
for i = 1, #ends, 2 do
  local until_ms, length_ms, whose, rest = ends[i + 1]:match('^(%d+) (%d+) (%S+) (%d+ .*)$')
  local left_ms = (tonumber(until_ms) or 0) - now_ms
  -- A time beyond its own length was noted before the clock was set back.
  local is_free = whose == owner or left_ms <= 0 or left_ms > tonumber(length_ms)
  if is_free and #reply < 2 + 2 * limit then
    table.insert(reply, ends[i])
    table.insert(reply, rest or '')
    reply[2] = reply[2] - 1
    if rest then
      local claimed = string.format('%d %d %s ', now_ms + claim_ms, claim_ms, owner) .. rest
      redis.call('HSET', outbox, ends[i], claimed)
    end
  end
end
return reply
