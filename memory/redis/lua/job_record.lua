-- The record of a job is its state, when it was taken in and when it has ended (ms; 0: not yet),
-- and the names by which it is found. Under each of them, under its state, unless that is done, and
-- under `*` the index has an entry, which sorts by when the job was taken in.
local function forget_record(one)
  local record = redis.call('HGET', job_records, one)
  if not record then return 0 end
  local state, taken, names = record:match('^(%l+) (%d+) %d+(.*)$')
  local entries = {}
  for name in ('* e:' .. state .. names):gmatch('%S+') do
    table.insert(entries, name .. ' ' .. taken .. ' ' .. one)
  end
  redis.call('ZREM', job_index, unpack(entries))
  redis.call('HDEL', job_records, one)
  redis.call('ZREM', record_ends, one)
  return 1
end
