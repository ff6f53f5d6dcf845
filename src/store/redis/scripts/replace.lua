-- Puts what the store keeps of itself in the place of what was read ('' where there was nothing).
-- KEYS: meta, log, operations, pack, the sorted sets of names. ARGV: what was read, what is to be.
-- Gives what stands there then.
local meta = KEYS[1]
local there = redis.call('HGET', meta, 'sealed')
if not there and ARGV[1] == '' and redis.call('EXISTS', unpack(KEYS, 2)) == 0 then
  redis.call('HSET', meta, 'sealed', ARGV[2], 'after', '0')
  return ARGV[2]
end
if there and there == ARGV[1] then
  redis.call('HSET', meta, 'sealed', ARGV[2])
  return ARGV[2]
end
return there
