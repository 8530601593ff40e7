#!lua
-- ENQUEUE: take a job into the mailbox, once. Refused when Redis is out of memory (no allow-oom):
-- the sender must get the back-pressure. Safe to repeat: PENDING or DONE, and no second event.
--
-- KEYS  history:list queue:zset? jobs:hash callbacks:hash lease:hash? done:zset? requests:hash events:stream delayed:zset? pointer...:string?
-- ARGV  job envelope its_callbacks cap request priority event events_max ttl_s dedupe_ms
-- pointer: `job:<job>`, absent on a cluster; its_callbacks: what follows the job in Celery, lines
-- of JSON, or ''; request: digest of the request (32 bytes), of the user (16), and size in bytes
-- (8), with colons between; priority: 'interactive', 'normal' or 'batch'; event: the `queued` event
-- up to the job's position, which is put in here; ttl_s: of the events
-- Returns
--   {'NEW', seq_us, position, stopping, wake, ended}  taken in; at position 0 the caller publishes
--                                 its wake-up; stopping: ''; wake: the head, where its session has
--                                 become more urgent while it waits, or ''; ended: 0
--   {'PENDING', seq_us, position, stopping, wake, ended}  was there; at position 0 publish too: a
--                                 reply may have been lost; position -1: it is delayed
--   {'DONE', mark_ms}             > 0: committed then, < 0: cancelled, merged or dead since then
--   {'CONFLICT'}                  the id is another request's; nothing was written
--   {'FULL', pending, first}      `cap` jobs or more wait, `first` is the head; nothing was written
--   {'CORRUPT', key, type}        a key of another type; nothing was written

-- include clock
-- include keep_history
-- include session_class
-- include intake
if seq_us then return {'PENDING', seq_us, position, '', '', 0} end
if pending >= tonumber(cap) then return {'FULL', pending, head} end
take_in(envelope)
return {'NEW', seq_us, position, '', session_to_lift(), 0}
