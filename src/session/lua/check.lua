#!lua flags=allow-oom
-- Authenticates one request by its session, and lets the session live on.
-- Guarantee: only a session that nobody ended passes, and only with its secret (or, shortly after a rotation, the one before); its life never exceeds its limit. The new
-- expiry is written when it gains a tenth of the TTL at least, so that most requests only read.
--
-- KEYS[1] index       proj:<p>:session       ZSET session id by expiry in ms
-- KEYS[2] session     proj:<p>:session:<id>  HASH secret, user, role, data, version, created, ttl, until, before…
-- ARGV[1] not_after   ms, Redis time
-- ARGV[2] session_id  the id in KEYS[2]
-- ARGV[3] secret      hash of the token's secret
-- Returns {1, user_id, role, expires_at_ms} when it passes, {0} when not, LATE, WRONGTYPE.
-- Cost: O(1) and 3 commands; O(log n) and 5 commands when the expiry moves.
-- @include "prelude"
local now = math.floor(redis_us() / 1000)
if late(now) then return LATE end

local expiry = tonumber(redis.call('ZSCORE', KEYS[1], ARGV[2]) or 0)
local secret, user, role, ttl, limit, before, role_before, before_until = unpack(redis.call('HMGET', KEYS[2],
  'secret', 'user', 'role', 'ttl', 'until', 'before', 'role_before', 'before_until'))
if expiry <= now or not secret or tonumber(limit) <= now then return { 0 } end
if secret ~= ARGV[3] then
  -- A request that was under way when the secret was rotated, with the role that it had.
  if before ~= ARGV[3] or tonumber(before_until) <= now then return { 0 } end
  role = role_before
end

local expires = math.min(now + tonumber(ttl), tonumber(limit))
if expires - expiry < tonumber(ttl) / 10 then return { 1, user, role, int(expiry) } end
redis.call('PEXPIREAT', KEYS[2], int(expires))
redis.call('ZADD', KEYS[1], 'XX', int(expires), ARGV[2])
return { 1, user, role, int(expires) }
