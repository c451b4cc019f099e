#!lua flags=allow-oom
-- Renews the places of one instance's streams. A place that ran out meanwhile (the instance was frozen, or Redis away) is
-- given again only if there is room.
--
-- KEYS[1] streams        proj:<p>:progress:streams  ZSET stream by time at which its place runs out, ms
-- ARGV[1] not_after      ms, Redis time
-- ARGV[2] max            streams of the project
-- ARGV[3] ttl_ms         ms until the places run out, unless they are renewed
-- ARGV[4..] mine...      ids of the streams, at most 500
-- Returns the streams that have no place any more, LATE, WRONGTYPE.
-- Cost: O(streams), two commands each.
-- @include "prelude"
local now = math.floor(redis_us() / 1000)
if late(now) then return LATE end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
local room = tonumber(ARGV[2]) - redis.call('ZCARD', KEYS[1])
local refused = {}
for i = 4, #ARGV do
  local holds = redis.call('ZSCORE', KEYS[1], ARGV[i])
  if not holds then room = room - 1 end
  if holds or room >= 0 then
    redis.call('ZADD', KEYS[1], now + ARGV[3], ARGV[i])
  else
    refused[#refused + 1] = ARGV[i]
  end
end
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return refused
