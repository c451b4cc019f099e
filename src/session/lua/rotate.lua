#!lua flags=allow-oom
-- Gives a session a new secret, and a role, without breaking the requests that are under way: for a short time the secret
-- before is good too, with the role before.
-- Guarantee: only the present secret rotates, so a stolen older one cannot; the limits of the session stay as they are.
--
-- KEYS[1] index       proj:<p>:session       ZSET session id by expiry in ms
-- KEYS[2] session     proj:<p>:session:<id>  HASH secret, user, role, data, version, created, ttl, until, before…
-- ARGV[1] not_after   ms, Redis time
-- ARGV[2] session_id  the id in KEYS[2]
-- ARGV[3] user_id     whose session it must be
-- ARGV[4] secret      hash of the present secret
-- ARGV[5] new_secret  hash of the next
-- ARGV[6] role        the role from now on
-- ARGV[7] grace_ms    ms for which the present secret stays good
-- Returns {1, user_id, role, data, version, created_ms, expires_at_ms} when rotated, {0} when there is no such session, LATE,
-- WRONGTYPE.
-- Cost: O(1), 5 commands.
-- @include "prelude"
local now = math.floor(redis_us() / 1000)
if late(now) then return LATE end

local expiry = redis.call('ZSCORE', KEYS[1], ARGV[2])
local secret, user, role, data, version, created, limit =
  unpack(redis.call('HMGET', KEYS[2], 'secret', 'user', 'role', 'data', 'version', 'created', 'until'))
if not expiry or tonumber(expiry) <= now or not secret or tonumber(limit) <= now then return { 0 } end
if secret ~= ARGV[4] or user ~= ARGV[3] then return { 0 } end

redis.call('HSET', KEYS[2], 'secret', ARGV[5], 'role', ARGV[6],
  'before', secret, 'role_before', role, 'before_until', int(now + ARGV[7]))
return { 1, user, ARGV[6], data, version, created, expiry }
