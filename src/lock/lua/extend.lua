#!lua flags=allow-oom
-- Prolongs a lock from now on, for its holder only. It can never bring a lock back that was released or had expired.
--
-- KEYS[1] lock       proj:<p>:lock:<name>  string '<owner> <fence>', '*' before it while others wait
-- ARGV[1] not_after  ms, Redis time
-- ARGV[2] owner      hash of the holder's token
-- ARGV[3] ttl_ms     ms from now
-- Returns {1, fence, expires_at_ms} when prolonged, {0} when the token is not the holder's, LATE, WRONGTYPE.
-- Cost: O(1), 3 commands.
-- @include "prelude"
-- @include "./holder"
local now = redis_us()
if late(now / 1000) then return LATE end

local owner, fence = holder(redis.call('GET', KEYS[1]))
if owner ~= ARGV[2] then return { 0 } end
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return { 1, tonumber(fence), math.floor(now / 1000) + ARGV[3] }
