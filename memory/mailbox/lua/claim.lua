#!lua flags=allow-oom
-- CLAIM: note that an id is one request of one session, before the job is taken in. Only for a
-- cluster, where the pointer is on another server than the mailbox; elsewhere ENQUEUE does it.
-- Safe to repeat.
--
-- KEYS  pointer:string?
-- ARGV  identity dedupe_ms
-- identity: digest of the request and history key of the session
-- Returns
--   {'CLAIMED'}                  nobody had it
--   {'KNOWN'}                    this request had it before
--   {'CONFLICT'}                 another request has it; nothing was written
--   {'CORRUPT', key, type}       a key of another type; nothing was written

local claimed = redis.call('GET', pointer)
if claimed and claimed ~= identity then return {'CONFLICT'} end
redis.call('SET', pointer, identity, 'PX', dedupe_ms)
return {claimed and 'KNOWN' or 'CLAIMED'}
