-- Adds to counters that end by themselves, and says what they come to.
-- KEYS: a counter each. ARGV: the time; then of each counter what is added and how long a new one lives.
-- Times in seconds, of the one who asks. What somebody else wrote there counts as nothing.
local now = tonumber(ARGV[1])
local come_to = {}
for i, key in ipairs(KEYS) do
  local add, lives = tonumber(ARGV[i * 2]), tonumber(ARGV[i * 2 + 1])
  local total, ends = 0, now + lives
  local before, until_then = (redis.call('GET', key) or ''):match('^(%d+) (%d+)$')
  if before and tonumber(until_then) > now and tonumber(until_then) <= ends then
    total, ends = tonumber(before), tonumber(until_then)
  end
  total = math.max(total + add, 0)
  if total == 0 then
    redis.call('DEL', key)
  else
    redis.call('SET', key, ('%d %d'):format(total, ends), 'EX', ends - now)
  end
  come_to[#come_to + 1] = total
  come_to[#come_to + 1] = ends - now
end
return come_to
