-- Adds to what is known of the use of keys and sessions.
-- KEYS: counts, last uses; then for each the bucket that it is in if it is a key, and the one that it is in if
-- it is a session. ARGV: of each its id, how often, when last.
-- One that is gone is left out: nobody would take it away again.
-- Gives which of them are sessions, counted from 0: when those were used last is noted with a seal.
local uses, last_uses = KEYS[1], KEYS[2]
local sessions = {}
for i = 3, #KEYS, 2 do
  local index = (i - 3) / 2
  local id, count, last = ARGV[index * 3 + 1], tonumber(ARGV[index * 3 + 2]), ARGV[index * 3 + 3]
  local is_key = redis.call('HGET', KEYS[i], id)
  if is_key or redis.call('HGET', KEYS[i + 1], id) then
    local before = tonumber(redis.call('HGET', uses, id) or '0') or 0
    redis.call('HSET', uses, id, ('%d'):format(before + count))
    if is_key then
      local latest = tonumber(redis.call('HGET', last_uses, id) or '')
      if not latest or latest < tonumber(last) then
        redis.call('HSET', last_uses, id, last)
      end
    else
      sessions[#sessions + 1] = index
    end
  end
end
return sessions
