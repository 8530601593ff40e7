#!lua flags=allow-oom
-- DROP_LETTERS: drop the oldest dead letters of a session, and say how old the next one is. Their
-- jobs stay marked as done. Safe to repeat.
--
-- KEYS  dead:list
-- ARGV  until_ms most
-- until_ms: letters that died later stay; most: how many go, 0: none, it only looks
-- Returns
--   {'OK', left, next_ms, job, job, …}  left: letters there are now; next_ms: when the oldest of
--                                them died; 0: there is none, or it is none of ours; the jobs whose
--                                letters went
--   {'CORRUPT', key, type}       a key of another type; nothing was removed

-- Job and death are the first and the fourth of a letter's netstrings.
local function oldest()
  local letter, at, facts = redis.call('LINDEX', dead, 0), 1, {}
  for _ = 1, letter and 4 or 0 do
    local _, colon = letter:find('^%d+:', at)
    if not colon then break end
    local last = colon + tonumber(letter:sub(at, colon - 1))
    table.insert(facts, letter:sub(colon + 1, last))
    at = last + 2
  end
  local died_at_ms = tonumber(facts[4]) or 0
  return letter and (facts[1] or ''), died_at_ms
end
local reply = {'OK', 0, 0}
local job, died_at_ms = oldest()
while job and died_at_ms <= tonumber(until_ms) and #reply < 3 + tonumber(most) do
  redis.call('LPOP', dead)
  table.insert(reply, job)
  job, died_at_ms = oldest()
end
reply[2], reply[3] = redis.call('LLEN', dead), died_at_ms
return reply
