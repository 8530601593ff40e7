-- `live` has a key live for `life_ms` at least, and for an hour more where that is written: so it is
-- not written with each step of a turn, into Redis' file too.
local function live(key, life_ms)
  if redis.call('PTTL', key) < tonumber(life_ms) then
    redis.call('PEXPIRE', key, life_ms + 3600000)
  end
end
