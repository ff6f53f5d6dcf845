-- What each instance said last, and what time it is, in milliseconds.
-- KEYS: instances.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
return {('%d'):format(now), redis.call('HGETALL', KEYS[1])}
