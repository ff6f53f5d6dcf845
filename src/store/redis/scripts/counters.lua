-- Adds to counters that end by themselves, to all or to none, and says what they come to.
-- KEYS: a counter each. ARGV: the time; then of each counter what is added, how long a new one lives, and
-- what it may come to at most. Times in seconds, of the one who asks. What somebody else wrote there counts
-- as nothing.
local now = tonumber(ARGV[1])
local found, come_to, fits = {}, {}, true
for i, key in ipairs(KEYS) do
  local add, lives, most = tonumber(ARGV[i * 3 - 1]), tonumber(ARGV[i * 3]), tonumber(ARGV[i * 3 + 1])
  local total, ends = 0, now + lives
  local before, until_then = (redis.call('GET', key) or ''):match('^(%d+) (%d+)$')
  if before and tonumber(until_then) > now then
    -- By a clock that is ahead: it counts, and no longer than any other.
    total, ends = tonumber(before), math.min(tonumber(until_then), ends)
  end
  total = math.max(total + add, 0)
  fits = fits and total <= most
  found[i] = { total, ends }
  come_to[#come_to + 1] = total
  come_to[#come_to + 1] = ends - now
end
if not fits then return come_to end
for i, key in ipairs(KEYS) do
  local total, ends = found[i][1], found[i][2]
  if total == 0 then
    redis.call('DEL', key)
  else
    redis.call('SET', key, ('%d %d'):format(total, ends), 'EX', ends - now)
  end
end
return come_to
