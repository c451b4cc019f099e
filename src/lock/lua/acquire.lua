#!lua
-- Takes a free lock, with a fencing token that only grows.
-- Guarantee: at most one holder per key while the server keeps its data; nothing is written when the lock is held.
--
-- KEYS[1] lock       proj:<p>:lock:<name>        HASH token, fence
-- KEYS[2] fence      proj:<p>:lock:<name>:fence  string, the last fence granted
-- ARGV[1] not_after  ms, Redis time
-- ARGV[2] token      the holder's secret, never used before
-- ARGV[3] ttl_ms     ms
-- Returns {1, fence, expires_at_ms} when granted, {0, ttl_left_ms} when held, LATE, WRONGTYPE.
-- Cost: O(1), 5 commands.
-- @include "prelude"
local now = redis_us()
if late(now / 1000) then return LATE end
if not is_type(KEYS[1], 'hash') or not is_type(KEYS[2], 'string') then return WRONGTYPE end

local left = redis.call('PTTL', KEYS[1])
if left > 0 then return { 0, left } end

-- The clock is the floor: when the counter was lost, the next fence is still greater than all before it.
local fence = math.max((tonumber(redis.call('GET', KEYS[2])) or 0) + 1, now)
redis.call('SET', KEYS[2], int(fence), 'PX', 604800000)
redis.call('HSET', KEYS[1], 'token', ARGV[2], 'fence', int(fence))
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return { 1, int(fence), int(math.floor(now / 1000) + tonumber(ARGV[3])) }
