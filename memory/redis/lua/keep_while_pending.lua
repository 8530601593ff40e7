-- A TTL that is given to the history of a session in which a job waits counts once that is over.
if redis.call('EXISTS', queue, delayed) > 0 and redis.call('EXISTS', lease) == 1 then
  keep_history()
end
