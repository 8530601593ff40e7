-- What else the lease says of the head: `stop` is how it was asked to stop, or ''. A wish to stop
-- outlives the worker that it was sent to. `away_since_ms`: since when it waits for its servers.
local noted = redis.call('HMGET', lease, 'stop_job', 'stop', 'stop_below', 'servers_away_since',
  'errors', 'failed', 'woken_at', 'wakes', 'slot_wait_until', 'paused')
local stop = tonumber(seq_us) < (tonumber(noted[3]) or 0) and 'keep' or ''
if noted[1] == job then stop = noted[2] end
local away_since_ms = held[3] == job and tonumber(noted[4]) or now_ms
