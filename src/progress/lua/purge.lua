#!lua flags=allow-oom
-- Removes log and operations of a purged project at once, and makes the hubs look: their streams then start anew.
--
-- KEYS[1] meta         proj:<p>:progress:meta    HASH
-- KEYS[2] log          proj:<p>:progress:log     STREAM
-- KEYS[3] operations   proj:<p>:progress:ops     ZSET
-- KEYS[4] leases       proj:<p>:progress:leases  ZSET
-- KEYS[5] seq_channel  proj:<p>:progress:seq     channel of the hubs
-- ARGV[1] not_after    ms, Redis time
-- Returns {1}, LATE.
-- Cost: O(operations), of which there are at most about 1,000.
-- @include "prelude"
if late(redis_us() / 1000) then return LATE end
local prefix = string.sub(KEYS[3], 1, -2) .. ':'
local operations = is_type(KEYS[3], 'zset') and redis.call('ZRANGE', KEYS[3], 0, -1) or {}
for _, id in ipairs(operations) do redis.call('UNLINK', prefix .. id, prefix .. id .. ':text') end
redis.call('UNLINK', KEYS[1], KEYS[2], KEYS[3], KEYS[4])
redis.call('PUBLISH', KEYS[5], 'purged')
return { 1 }
