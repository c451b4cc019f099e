#!lua flags=allow-oom
-- Removes a document with all versions that the API wrote, at once, and notes it, so that a sweep removes the versions that
-- other programs wrote.
--
-- KEYS[1] doc        proj:<p>:doc:<d>           string
-- KEYS[2] versions   proj:<p>:doc:<d>:versions  ZSET version by its expiry in ms
-- KEYS[3] deleted    proj:<p>:cache:deleted     ZSET document by the time of its deletion in microseconds
-- KEYS[4] meta       proj:<p>:cache:meta:doc:<d>  string, what a load noted of its bytes
-- KEYS[5] lease      proj:<p>:cache:lease:doc:<d> string, a load that is under way: it may not store its value any more
-- ARGV[1] not_after  ms, Redis time
-- ARGV[2] doc_id     its id
-- Returns {number of keys removed}, LATE, WRONGTYPE.
-- Cost: O(versions), at most 1,000 of them.
-- @include "prelude"
local now = redis_us()
if late(now / 1000) then return LATE end
if not is_type(KEYS[2], 'zset') or not is_type(KEYS[3], 'zset') then return WRONGTYPE end

redis.call('UNLINK', KEYS[4], KEYS[5])
local removed = 0
for _, version in ipairs(redis.call('ZRANGE', KEYS[2], 0, -1)) do
  removed = removed + redis.call('UNLINK', KEYS[1] .. ':version:' .. version)
end
removed = removed + redis.call('UNLINK', KEYS[1], KEYS[2])
redis.call('ZADD', KEYS[3], int(now), ARGV[2])
redis.call('EXPIRE', KEYS[3], 86400)
return { removed }
