#!lua flags=allow-oom
-- Gives a stream a place among the project's, over all instances. Places of instances that died have run out by themselves.
--
-- KEYS[1] streams    proj:<p>:progress:streams  ZSET stream by time at which its place runs out, ms
-- ARGV[1] not_after  ms, Redis time
-- ARGV[2] stream     its id
-- ARGV[3] max        streams of the project
-- ARGV[4] ttl_ms     ms until the place runs out, unless it is renewed
-- Returns {1} when it has a place, {0} when there is none, LATE, WRONGTYPE.
-- Cost: O(log streams + places that ran out), 5 commands.
-- @include "prelude"
local now = math.floor(redis_us() / 1000)
if late(now) then return LATE end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[3]) then return { 0 } end
redis.call('ZADD', KEYS[1], now + ARGV[4], ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return { 1 }
