#!lua flags=allow-oom
-- A Redis without room refuses writes; that this instance lives is no new record, and no check should
-- end over it.
-- Writes that an instance lives; gives where the store stands, and what time it is, in milliseconds.
-- KEYS: meta, instances. ARGV: the instance, what it says of itself, '1' to forget who is silent.
local meta, instances = KEYS[1], KEYS[2]
local sealed = redis.call('HGET', meta, 'sealed')
if not sealed then
  return false
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('HSET', instances, ARGV[1], ('%013d'):format(now) .. ARGV[2])
if ARGV[3] == '1' then
  local all = redis.call('HGETALL', instances)
  for i = 1, #all, 2 do
    local said = tonumber(all[i + 1]:sub(1, 13))
    -- Milliseconds: an hour.
    if not said or math.abs(now - said) > 3600000 then
      redis.call('HDEL', instances, all[i])
    end
  end
end
return {sealed, ('%d'):format(now)}
