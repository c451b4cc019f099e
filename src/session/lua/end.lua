#!lua flags=allow-oom
-- Ends one session. A repetition within 10 minutes answers the same.
--
-- KEYS[1] index       proj:<p>:session              ZSET session id by expiry in ms
-- KEYS[2] user        proj:<p>:session:user:<hash>  ZSET session id by opening in us
-- KEYS[3] session     proj:<p>:session:<id>         HASH secret, user, role, data, version, created, ttl, until
-- KEYS[4] ended       proj:<p>:session:<id>:ended   HASH secret, user
-- ARGV[1] not_after   ms, Redis time
-- ARGV[2] session_id  the id in KEYS[3]
-- Returns {1} when it ended now or before, {0} when there is no such session, LATE, WRONGTYPE.
-- Cost: O(log n) for n sessions of the project, 11 commands.
-- @include "prelude"
if late(redis_us() / 1000) then return LATE end
if not is_type(KEYS[1], 'zset') or not is_type(KEYS[2], 'zset') then return WRONGTYPE end
if not is_type(KEYS[3], 'hash') or not is_type(KEYS[4], 'hash') then return WRONGTYPE end

local secret, user = unpack(redis.call('HMGET', KEYS[3], 'secret', 'user'))
if redis.call('ZREM', KEYS[1], ARGV[2]) == 0 or not secret then return { redis.call('EXISTS', KEYS[4]) } end
redis.call('ZREM', KEYS[2], ARGV[2])
redis.call('UNLINK', KEYS[3])
redis.call('HSET', KEYS[4], 'secret', secret, 'user', user)
redis.call('EXPIRE', KEYS[4], 600)
return { 1 }
