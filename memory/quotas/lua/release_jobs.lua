#!lua flags=allow-oom
-- RELEASE_JOBS: count jobs no longer: they have ended, or were not taken in. Safe to repeat.
--
-- KEYS  pending_jobs:zset owners:hash counts:hash
-- ARGV  jobs...
-- Returns
--   {'OK', jobs}                 how many of them were counted
--   {'CORRUPT', key, type}       a key of another type; nothing was written

-- include clock
-- include drop_job
local released = 0
for _, job in ipairs(ARGV) do released = released + drop_job(job) end
return {'OK', released}
