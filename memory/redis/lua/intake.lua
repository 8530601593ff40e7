-- What ENQUEUE, INTERRUPT, SUPERSEDE, MERGE and DELAY have in common. They answer CONFLICT and DONE
-- here, and PENDING without a place for a job that is delayed and not due.
-- `seq_us` is nil unless the job is pending; `take_in` puts it into the mailbox.
-- One id is one request of one session: a repeat is answered, anything else is refused. On a
-- cluster the pointer lies on another server, and CLAIM has been there before.
local pointer, identity = KEYS[#kinds], request:sub(1, 32) .. ' ' .. history
local claimed = pointer and redis.call('GET', pointer)
if claimed and claimed ~= identity then return {'CONFLICT'} end
local mark_ms = redis.call('ZSCORE', done, job)
if mark_ms then return {'DONE', tonumber(mark_ms)} end
local due_at_ms = tonumber(redis.call('ZSCORE', delayed, job))
if due_at_ms and due_at_ms > now_ms then return {'PENDING', 0, -1, '', '', 0} end
-- A delayed job was counted when it was sent, so it is not refused when it is due.
if due_at_ms then cap = math.huge end
local first = redis.call('ZRANGE', queue, 0, 0, 'WITHSCORES')
local head, pending, seq_us, position = first[1] or '', 0, nil, nil
if first[1] then
  pending, seq_us = redis.call('ZCARD', queue), tonumber(redis.call('ZSCORE', queue, job))
  position = seq_us and redis.call('ZRANK', queue, job)
end
local held = redis.call('HMGET', lease, 'token', 'until', 'job', 'attempt', 'stop_job', 'last',
  'interactive_until', 'batch_from')
local was = first[1] and class_of(first[2], held[7], held[8])
local has_begun = held[3] == head and (tonumber(held[4]) or 0) > 0
local function keep(content, keep_ms)
  if pointer then redis.call('SET', pointer, identity, 'PX', keep_ms) end
  keep_history()
  redis.call('HSET', jobs, job, content)
  if its_callbacks ~= '' then redis.call('HSET', callbacks, job, its_callbacks) end
  live(lease, dedupe_ms)
  redis.call('HSET', requests, job, request)
  live(requests, dedupe_ms)
end
local function take_in(content)
  -- Later than every job before it, even where the clock was set back.
  seq_us = math.max((tonumber(held[6]) or 0) + 1, now_us)
  redis.call('HSET', lease, 'last', seq_us)
  if priority == 'interactive' then redis.call('HSET', lease, 'interactive_until', seq_us) end
  if priority == 'batch' then redis.call('HSETNX', lease, 'batch_from', seq_us)
  elseif held[8] then redis.call('HDEL', lease, 'batch_from') end
  keep(content, dedupe_ms)
  if due_at_ms then redis.call('ZREM', delayed, job) end
  redis.call('ZADD', queue, seq_us, job)
  position = first[1] and redis.call('ZRANK', queue, job) or 0
  redis.call('XADD', events, 'MAXLEN', '~', events_max, '*', 'event', event .. position .. '}}')
  redis.call('EXPIRE', events, ttl_s % 31536000000)
end
-- `session_to_lift` is the head of a session that has become more urgent by the job that was taken
-- in, and waits: it is to be woken anew, as what it is now. '' where there is none.
local function session_to_lift()
  local is_lifted = priority == 'interactive' and was ~= priority
    or priority == 'normal' and was == 'batch'
  local is_live = held[1] and held[3] == head and (tonumber(held[2]) or 0) > now_ms
  if not is_lifted or is_live or head == job then return '' end
  return redis.call('ZSCORE', queue, head) and head or ''
end
