-- Puts a pack in the place of the one before, unless that is newer, if the log still leads on from it.
-- KEYS: meta, pack, then its pieces. ARGV: its number, its id, the sealed manifest.
-- Gives 1 where it was put there.
local meta, pack = KEYS[1], KEYS[2]
local number = tonumber(ARGV[1])
local after, packed = unpack(redis.call('HMGET', meta, 'after', 'packed'))
after, packed = tonumber(after), tonumber(packed or '-1')
if not after or not packed or number < after or number < packed then
  return 0
end
for i = 3, #KEYS do
  -- Each was put there to be forgotten; one that is gone already cannot be kept.
  if redis.call('PERSIST', KEYS[i]) == 0 then
    return 0
  end
end
local id, pieces = unpack(redis.call('HMGET', pack, 'id', 'pieces'))
for i = 0, math.min(tonumber(pieces or '0') or 0, 100000) - 1 do
  -- Seconds: who reads it now may finish.
  redis.call('EXPIRE', pack .. ':' .. id .. ':' .. i, 60)
end
redis.call('HSET', pack, 'id', ARGV[2], 'pieces', #KEYS - 2, 'sealed', ARGV[3])
redis.call('HSET', meta, 'packed', ARGV[1])
return 1
