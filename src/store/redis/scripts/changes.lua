-- The log from a number on, that one's own entry first, as it all stands at one moment.
-- KEYS: meta, log. ARGV: the number, how many entries at most.
local meta = redis.call('HMGET', KEYS[1], 'sealed', 'after')
return {meta[1], meta[2], redis.call('XRANGE', KEYS[2], ARGV[1] .. '-0', '+', 'COUNT', ARGV[2])}
