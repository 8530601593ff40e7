#!lua
-- ENQUEUE: take a job into the mailbox, once. Refused when Redis is out of memory (no allow-oom):
-- back-pressure belongs at the door. Safe to repeat: PENDING or DONE, and no second event.
--
-- KEYS  queue:zset jobs:hash lease:hash done:zset requests:hash events:stream
-- ARGV  job envelope cap request event events_max ttl_s dedupe_ms
-- request: the digest of what is asked (32 bytes), who asks it (16) and its size in bytes (8),
-- with a colon between; event: `queued` up to the number of jobs before it, which is put in;
-- ttl_s: of the events
-- Returns
--   {'NEW', seq_us, position, stopping, wake, untold}      taken in; at position 0 the caller
--                                 publishes its wake-up; stopping, wake: ''; untold: empty
--   {'PENDING', seq_us, position, stopping, wake, untold}  was there; at position 0 publish too: a
--                                 reply may have been lost
--   {'DONE', mark_ms}             > 0: committed then, < 0: cancelled, merged or dead since then
--   {'CONFLICT'}                  the id is another request's; nothing was written
--   {'FULL', pending, first}      already `cap` jobs, this the first of them; not taken in
--   {'CORRUPT', key, type}        a key of another type; nothing was written

-- include clock
-- include intake
if seq_us then return {'PENDING', seq_us, position, '', '', {}} end
if pending >= tonumber(cap) then return {'FULL', pending, head} end
take_in(envelope)
return {'NEW', seq_us, position, '', '', {}}
