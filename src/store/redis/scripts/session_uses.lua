-- Notes when sessions were used last, the latest of what is told.
-- KEYS: last uses; then for each the bucket that it is in. ARGV: of each its id, when, the seal of that, and '1'
-- where what stands there is not to be believed, so that no comparison counts.
local last_uses = KEYS[1]
for i = 2, #KEYS do
  local at = (i - 2) * 4
  local id, last, seal, unbelieved = unpack(ARGV, at + 1, at + 4)
  if redis.call('HGET', KEYS[i], id) then
    local stands = (redis.call('HGET', last_uses, id) or ''):match('^(%d+) ')
    if unbelieved == '1' or not stands or tonumber(stands) < tonumber(last) then
      redis.call('HSET', last_uses, id, last .. ' ' .. seal)
    end
  end
end
return redis.status_reply('OK')
