#!lua flags=allow-oom
-- Exchanges a ticket for the cookie that its stream reconnects with. Guarantee: one ticket gives one cookie.
--
-- KEYS[1] ticket     proj:<p>:progress:ticket:<hash>  string, who it is for
-- KEYS[2] cookie     proj:<p>:progress:cookie:<hash>  string, the same
-- ARGV[1] not_after  ms, Redis time
-- ARGV[2] ttl_ms     ms, of the cookie
-- Returns {1} when exchanged, {0} when the ticket is used up or has expired, LATE, WRONGTYPE.
-- Cost: O(1), 5 commands.
-- @include "prelude"
if late(redis_us() / 1000) then return LATE end
if not is_type(KEYS[2], 'string') then return WRONGTYPE end
local holder = redis.call('GET', KEYS[1])
if not holder then return { 0 } end
redis.call('SET', KEYS[2], holder, 'PX', ARGV[2])
redis.call('DEL', KEYS[1])
return { 1 }
