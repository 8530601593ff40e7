#!lua flags=allow-oom
-- FORGET_RECORDS: forget the records of jobs that have ended, with all entries that lead there.
-- Safe to repeat: 0.
--
-- KEYS  job_records:hash job_index:zset record_ends:zset
-- ARGV  jobs...
-- Returns
--   {'OK', jobs}                 how many of them had one
--   {'CORRUPT', key, type}       a key of another type; nothing was written

-- include job_record
local forgotten = 0
for _, job in ipairs(ARGV) do forgotten = forgotten + forget_record(job) end
return {'OK', forgotten}
