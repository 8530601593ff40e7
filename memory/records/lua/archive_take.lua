#!lua
-- ARCHIVE_TAKE: read what the archive is to take of a session, the oldest messages: all where its
-- time is over and nothing waits, else the turns that are more than may stay. They leave with
-- ARCHIVE_TAKEN, once they are written. The place of a message in its conversation never changes,
-- so what is written twice is there once. Safe to repeat.
--
-- KEYS  history:list lease:hash archive:hash summary:hash
-- ARGV  generation keep most_bytes hold_ms most
-- generation: names the history where it has no name yet; most: messages that are read at once
-- Returns
--   {'OK', generation, first, is_all, text, until, records}  first: place of the first record;
--                                is_all: 1 where nothing stays; text, until: the summary then
--   {'CORRUPT', key, type}       a key of another type; nothing was written

-- include clock
local dedupe_ms = 60000
-- include history_size
local messages, left_ms = redis.call('LLEN', history), redis.call('PTTL', history)
local from = 0
if left_ms >= 0 and left_ms <= tonumber(hold_ms) then
  from = messages
else
  local bytes = history_bytes()
  from = math.max(0, messages - keep)
  if from > 0 then bytes = bytes - bytes_of(0, from - 1) end
  local last_job
  while from < messages - 1 do
    local message = (bytes > tonumber(most_bytes) or last_job or from > 0)
      and redis.call('LINDEX', history, from)
    local its_job = message and message:match('"job_id":"([^"]*)"')
    if bytes <= tonumber(most_bytes) and (not last_job or its_job ~= last_job) then break end
    bytes, from, last_job = bytes - #message, from + 1, its_job
  end
end
local is_all = from == messages and from <= tonumber(most)
from = math.min(from, most)
if from == 0 then return {'OK', '', 0, 0, '', '', {}} end
redis.call('HSETNX', archive, 'generation', generation)
local known = redis.call('HMGET', archive, 'generation', 'first')
local summed_up = is_all and redis.call('HMGET', summary, 'text', 'until') or {}
return {'OK', known[1], tonumber(known[2]) or 0, is_all and 1 or 0, summed_up[1] or '',
  summed_up[2] or '', redis.call('LRANGE', history, 0, from - 1)}
