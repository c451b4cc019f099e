#!lua
-- Opens a session, and ends the oldest of the same user beyond the cap.
-- Guarantee: never more than `cap` living sessions of a user, however many log in at once; both indexes shed their dead.
--
-- KEYS[1] index       proj:<p>:session              ZSET session id by expiry in ms
-- KEYS[2] user        proj:<p>:session:user:<hash>  ZSET session id by opening in us
-- KEYS[3] session     proj:<p>:session:<id>         HASH secret, user, role, data, version, created, ttl, until
-- ARGV[1] not_after   ms, Redis time
-- ARGV[2] session_id  the id in KEYS[3], never used before
-- ARGV[3] secret      hash of the token's secret
-- ARGV[4] user_id     text
-- ARGV[5] role        text
-- ARGV[6] data        JSON text, opaque
-- ARGV[7] ttl_ms      ms that the session lives without a request
-- ARGV[8] max_ms      ms that it lives at most
-- ARGV[9] cap         sessions of one user
-- Returns {created_ms, expires_at_ms}, LATE, WRONGTYPE.
-- Cost: O(log n) for n sessions of the project, about 20 commands; derives the keys of the sessions that it ends.
-- @include "prelude"
local us = redis_us()
local now = math.floor(us / 1000)
if late(now) then return LATE end
if not is_type(KEYS[1], 'zset') or not is_type(KEYS[2], 'zset') or not is_type(KEYS[3], 'hash') then return WRONGTYPE end

local past = redis.call('ZRANGE', KEYS[1], '-inf', now, 'BYSCORE', 'LIMIT', 0, 100)
if #past > 0 then redis.call('ZREM', KEYS[1], unpack(past)) end

local living = {}
for _, id in ipairs(redis.call('ZRANGE', KEYS[2], 0, -1)) do
  if tonumber(redis.call('ZSCORE', KEYS[1], id) or 0) > now then
    living[#living + 1] = id
  else
    redis.call('ZREM', KEYS[2], id)
  end
end
for i = 1, #living + 1 - tonumber(ARGV[9]) do
  redis.call('ZREM', KEYS[1], living[i])
  redis.call('ZREM', KEYS[2], living[i])
  redis.call('UNLINK', KEYS[1] .. ':' .. living[i])
end

local limit = now + tonumber(ARGV[8])
local expires = math.min(now + tonumber(ARGV[7]), limit)
redis.call('HSET', KEYS[3], 'secret', ARGV[3], 'user', ARGV[4], 'role', ARGV[5], 'data', ARGV[6], 'version', 1,
  'created', int(now), 'ttl', ARGV[7], 'until', int(limit))
redis.call('PEXPIREAT', KEYS[3], int(expires))
redis.call('ZADD', KEYS[1], int(expires), ARGV[2])
redis.call('ZADD', KEYS[2], int(us), ARGV[2])
for i = 1, 2 do
  if redis.call('PEXPIRETIME', KEYS[i]) < limit then redis.call('PEXPIREAT', KEYS[i], int(limit)) end
end
return { int(now), int(expires) }
