-- Writes batches in order, until one cannot be, if the store still stands where they begin.
-- KEYS: meta, log, operations, pack, uses of keys, last uses; then those that the steps name by their index.
-- ARGV: the sealed meta as it must stand, how many changes the log keeps, the channel, the count of
-- batches; then of each its operation, its number, its log entry, the sealed meta after it, the
-- count of its steps; of each step: bucket, names, name, what is expected of the record ('' nothing,
-- 'a' absent, 'p' present, 'r' and a revision), what is done ('' nothing, 'd' deleted,
-- 'k' deleted with what is known of its use, 'p' and a value).
-- Gives {'moved', sealed meta}, {'broken'}, or {'done', how many were written, why no more were}.
local meta, log, operations, pack, uses, last_uses = unpack(KEYS, 1, 6)
local sealed, after, packed = unpack(redis.call('HMGET', meta, 'sealed', 'after', 'packed'))
if sealed ~= ARGV[1] then
  return {'moved', sealed}
end
after, packed = tonumber(after), tonumber(packed or '0')
-- Seen before anything is written: a script that fails half way is not undone.
if not after or not packed then
  return {'broken'}
end
local kept, channel = tonumber(ARGV[2]), ARGV[3]
local at, done, last, stop = 5, 0, nil, {}

local function first_failing(first, steps)
  for step = 0, steps - 1 do
    local i = first + step * 5
    local expect = ARGV[i + 3]
    if expect ~= '' then
      local value = redis.call('HGET', KEYS[tonumber(ARGV[i])], ARGV[i + 2])
      local holds
      if expect == 'a' then
        holds = not value
      elseif expect == 'p' then
        holds = value
      else
        holds = value and value:sub(1, 8) == expect:sub(2)
      end
      if not holds then
        return step
      end
    end
  end
end

local function apply(first, steps)
  for step = 0, steps - 1 do
    local i = first + step * 5
    local bucket, names = KEYS[tonumber(ARGV[i])], KEYS[tonumber(ARGV[i + 1])]
    local name, effect = ARGV[i + 2], ARGV[i + 4]
    local kind = effect:sub(1, 1)
    if kind == 'p' then
      redis.call('HSET', bucket, name, effect:sub(2))
      redis.call('ZADD', names, '0', name)
    elseif kind == 'd' or kind == 'k' then
      redis.call('HDEL', bucket, name)
      redis.call('ZREM', names, name)
      if kind == 'k' then
        redis.call('HDEL', uses, name)
        redis.call('HDEL', last_uses, name)
      end
    end
  end
end

for _ = 1, tonumber(ARGV[4]) do
  local operation, number = ARGV[at], ARGV[at + 1]
  local steps, first = tonumber(ARGV[at + 4]), at + 5
  local written = redis.call('HGET', operations, operation)
  if written then
    stop = {'written', written, redis.call('XRANGE', log, written .. '-0', written .. '-0')}
    break
  end
  local failing = first_failing(first, steps)
  if failing then
    stop = {'conflict', failing}
    break
  end
  -- The log first: it refuses a number that it has.
  redis.call('XADD', log, number .. '-0', 'o', operation, 'e', ARGV[at + 2])
  redis.call('HSET', operations, operation, number)
  apply(first, steps)
  sealed, last, done = ARGV[at + 3], tonumber(number), done + 1
  at = first + steps * 5
end

if last then
  redis.call('HSET', meta, 'sealed', sealed)
  local target = last - kept
  if packed > 0 and packed < target then
    if last - packed > kept * 10 then
      -- Nobody packs any more: a log that grows for ever would fill the memory.
      local id, pieces = unpack(redis.call('HMGET', pack, 'id', 'pieces'))
      for i = 0, math.min(tonumber(pieces or '0') or 0, 100000) - 1 do
        redis.call('EXPIRE', pack .. ':' .. id .. ':' .. i, 60)
      end
      redis.call('DEL', pack)
      redis.call('HDEL', meta, 'packed')
    else
      target = packed
    end
  end
  if target > after then
    -- At most so many at once: a script holds everybody up.
    local from, to = ('%d-0'):format(after + 1), ('%d-0'):format(target)
    local gone = redis.call('XRANGE', log, from, to, 'COUNT', 1024)
    for _, entry in ipairs(gone) do
      redis.call('HDEL', operations, entry[2][2])
      after = tonumber(entry[1]:match('^%d+'))
    end
    redis.call('XTRIM', log, 'MINID', '=', ('%d-0'):format(after))
    redis.call('HSET', meta, 'after', ('%d'):format(after))
  end
  redis.call('PUBLISH', channel, ('%d'):format(last))
end
return {'done', done, stop}
