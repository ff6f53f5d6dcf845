-- Adds to what is known of the use of keys.
-- KEYS: counts, last uses; then the bucket of each key. ARGV: of each key its id, how often, when last.
-- A key that is gone is left out: nobody would take it away again.
local uses, last_uses = KEYS[1], KEYS[2]
for i = 3, #KEYS do
  local at = (i - 3) * 3
  local id, count, last = ARGV[at + 1], tonumber(ARGV[at + 2]), ARGV[at + 3]
  if redis.call('HGET', KEYS[i], id) then
    local before = tonumber(redis.call('HGET', uses, id) or '0') or 0
    redis.call('HSET', uses, id, ('%d'):format(before + count))
    local latest = tonumber(redis.call('HGET', last_uses, id) or '')
    if not latest or latest < tonumber(last) then
      redis.call('HSET', last_uses, id, last)
    end
  end
end
return redis.status_reply('OK')
