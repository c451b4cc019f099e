#!lua flags=allow-oom
-- Ends all sessions of a user.
--
-- KEYS[1] index      proj:<p>:session              ZSET session id by expiry in ms
-- KEYS[2] user       proj:<p>:session:user:<hash>  ZSET session id by opening in us
-- ARGV[1] not_after  ms, Redis time
-- Returns the number of sessions that ended, LATE, WRONGTYPE.
-- Cost: O(cap log n) for n sessions of the project, the cap being 10; derives the keys of the sessions that it ends.
-- @include "prelude"
if late(redis_us() / 1000) then return LATE end
if not is_type(KEYS[1], 'zset') or not is_type(KEYS[2], 'zset') then return WRONGTYPE end

local ended = 0
for _, id in ipairs(redis.call('ZRANGE', KEYS[2], 0, -1)) do
  ended = ended + redis.call('ZREM', KEYS[1], id)
  redis.call('UNLINK', KEYS[1] .. ':' .. id)
end
redis.call('UNLINK', KEYS[2])
return ended
