"""Setting a server's clock, as a fail-over to another host does, without touching the machine's.

A clock that goes back by an hour, and stored times that lie an hour later, are the same to whoever
compares the two. So all stored times are moved the other way, in one step.
"""

from redis import Redis

MOVE = """
local by_ms, prefix = tonumber(ARGV[1]), ARGV[2]
local function move_scores(key, by)
  local members = redis.call('ZRANGE', key, 0, -1, 'WITHSCORES')
  for i = 1, #members, 2 do
    local score = tonumber(members[i + 1])
    redis.call('ZADD', key, score + (score < 0 and -by or by), members[i])
  end
end
local function move_claims(key)
  local ends = redis.call('HGETALL', key)
  for i = 1, #ends, 2 do
    local until_ms, rest = string.match(ends[i + 1], '^(%d+)( .*)$')
    if until_ms then
      redis.call('HSET', key, ends[i], string.format('%d', until_ms + by_ms) .. rest)
    end
  end
end
local in_ms = {due = 1, delayed = 1, dead = 1, agents = 1, sessions = 1, done = 1, write_ids = 1,
  slots = 1, waiting_models = 1}
local in_us = {queue = 1, outbox = 1}
local moved = 0
for _, key in ipairs(redis.call('KEYS', prefix .. ':*')) do
  local kind, held = string.match(key, '^' .. prefix .. ':([a-z_]+)'), redis.call('TYPE', key).ok
  if held == 'zset' and in_ms[kind] then move_scores(key, by_ms) end
  if held == 'zset' and in_us[kind] then move_scores(key, by_ms * 1000) end
  if held == 'hash' and kind == 'outbox' then move_claims(key) end
  if kind == 'lease' then
    for _, field in ipairs({'until', 'not_before', 'woken_at', 'slot_wait_until'}) do
      if redis.call('HEXISTS', key, field) == 1 then
        redis.call('HINCRBY', key, field, by_ms)
        moved = moved + 1
      end
    end
    for _, field in ipairs({'last', 'seq', 'stop_below'}) do
      if redis.call('HEXISTS', key, field) == 1 then
        redis.call('HINCRBY', key, field, by_ms * 1000)
      end
    end
  end
  local ttl_ms = redis.call('PTTL', key)
  if ttl_ms > 0 then redis.call('PEXPIRE', key, math.max(1, ttl_ms + by_ms)) end
end
return moved
"""


def set_clock(observer: Redis, prefix: str, by_ms: int) -> int:
    """Set the server's clock by `by_ms`. How many times the leases of all mailboxes had.

    Whoever measures the server's time sees no difference: only what is stored does.
    """
    moved = observer.eval(MOVE, 0, str(-by_ms), prefix)
    assert isinstance(moved, int)
    return moved
