#!lua flags=allow-oom
-- Takes, renews or gives back the lease of the one instance that takes in what others publish.
--
-- KEYS[1] ingest     proj:<p>:progress:ingest  HASH token, ordinal
-- ARGV[1] not_after  ms, Redis time
-- ARGV[2] token      the holder's secret; a new one for each `take`, so that ordinals are never counted twice
-- ARGV[3] what       take, renew or return
-- ARGV[4] ttl_ms     ms
-- Returns {1} when the lease is held, {0} when it is not, LATE, WRONGTYPE.
-- Cost: O(1), 5 commands.
-- @include "prelude"
if late(redis_us() / 1000) then return LATE end
local holder = redis.call('HGET', KEYS[1], 'token')
if ARGV[3] == 'take' and not holder then
  redis.call('HSET', KEYS[1], 'token', ARGV[2], 'ordinal', 0)
elseif holder ~= ARGV[2] then
  return { 0 }
elseif ARGV[3] == 'return' then
  redis.call('DEL', KEYS[1])
  return { 0 }
end
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return { 1 }
