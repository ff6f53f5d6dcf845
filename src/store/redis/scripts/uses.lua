-- Adds to what is known of the use of keys and sessions.
-- KEYS: counts, last uses; then for each the bucket that it is in if it is a key, and the one that it is in if
-- it is a session. ARGV: of each its id, how often, when last.
-- One that is gone is left out: nobody would take it away again.
local uses, last_uses = KEYS[1], KEYS[2]
for i = 3, #KEYS, 2 do
  local at = (i - 3) / 2 * 3
  local id, count, last = ARGV[at + 1], tonumber(ARGV[at + 2]), ARGV[at + 3]
  if redis.call('HGET', KEYS[i], id) or redis.call('HGET', KEYS[i + 1], id) then
    local before = tonumber(redis.call('HGET', uses, id) or '0') or 0
    redis.call('HSET', uses, id, ('%d'):format(before + count))
    local latest = tonumber(redis.call('HGET', last_uses, id) or '')
    if not latest or latest < tonumber(last) then
      redis.call('HSET', last_uses, id, last)
    end
  end
end
return redis.status_reply('OK')
