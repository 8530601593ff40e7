-- `add_messages` appends the arguments from number `first` on. The last `keep` messages stay, and of
-- these no more than have `most_bytes` together: the oldest turns go, whole, but what was added
-- stays. What has no `job_id` is a turn by itself. `size`: what the lease has noted, where the caller
-- has read it and renews the lease's life; `''`: nothing.
local function add_messages(first, size)
  local bytes, added = history_bytes(size), #ARGV - first + 1
  for i = first, #ARGV do bytes = bytes + #ARGV[i] end
  local messages = redis.call('RPUSH', history, unpack(ARGV, first))
  local from = math.max(0, messages - keep)
  if from > 0 then bytes = bytes - bytes_of(0, from - 1) end
  local last_job
  while from < messages - added do
    local message = (bytes > tonumber(most_bytes) or last_job)
      and redis.call('LINDEX', history, from)
    local its_job = message and message:match('"job_id":"([^"]*)"')
    if bytes <= tonumber(most_bytes) and (not last_job or its_job ~= last_job) then break end
    bytes, from, last_job = bytes - #message, from + 1, its_job
  end
  if from > 0 then redis.call('LTRIM', history, from, -1) end
  -- Small ones are counted faster than they are noted where there is no lease.
  if size or redis.call('EXISTS', lease) == 1 or bytes > 65536 then
    redis.call('HSET', lease, 'size', messages - from .. ' ' .. bytes)
    if not size and redis.call('PTTL', lease) < 0 then redis.call('PEXPIRE', lease, dedupe_ms) end
  end
end
