-- What a new connection finds.
-- KEYS: meta, log, operations, pack, the sorted sets of names. ARGV: a bucket, the channel.
-- Gives the commands that the user may not run, the sealed meta, and whether anything is there.
local denied = {}
local function need(command, ...)
  if redis.acl_check_cmd and not redis.acl_check_cmd(command, ...) then
    denied[#denied + 1] = command
  end
end
local meta, log, pack, names = KEYS[1], KEYS[2], KEYS[4], KEYS[5]
local bucket, channel = ARGV[1], ARGV[2]
need('hget', bucket, 'x')
need('hmget', meta, 'x')
need('hgetall', bucket)
need('hset', bucket, 'x', 'y')
need('hdel', bucket, 'x')
need('zadd', names, '0', 'x')
need('zrem', names, 'x')
need('zrangebylex', names, '-', '+')
need('xadd', log, '1-0', 'o', 'x')
need('xrange', log, '-', '+')
need('xtrim', log, 'MINID', '1')
need('exists', names)
need('get', pack .. ':x')
need('set', pack .. ':x', 'y')
need('expire', pack .. ':x', '1')
need('persist', pack .. ':x')
need('del', pack)
need('time')
need('wait', '0', '1')
need('publish', channel, '1')
need('subscribe', channel)
local rest = redis.call('EXISTS', unpack(KEYS, 2))
return {denied, redis.call('HGET', meta, 'sealed'), rest}
