#!lua
-- Replaces the data of a session, if nobody else did meanwhile. It can never bring back a session that has ended.
--
-- KEYS[1] index       proj:<p>:session       ZSET session id by expiry in ms
-- KEYS[2] session     proj:<p>:session:<id>  HASH secret, user, role, data, version, created, ttl, until
-- ARGV[1] not_after   ms, Redis time
-- ARGV[2] session_id  the id in KEYS[2]
-- ARGV[3] version     the version that the caller read
-- ARGV[4] data        JSON text, opaque
-- Returns {1, user_id, role, data, version, created_ms, expires_at_ms} when saved, {2, version} when the stored version
-- is another, {0} when there is no such session, LATE, WRONGTYPE.
-- Cost: O(1), 5 commands.
-- @include "prelude"
if late(redis_us() / 1000) then return LATE end

local expiry = redis.call('ZSCORE', KEYS[1], ARGV[2])
local user, role, version, created = unpack(redis.call('HMGET', KEYS[2], 'user', 'role', 'version', 'created'))
if not expiry or not user then return { 0 } end
if version ~= ARGV[3] then return { 2, version } end

local next_version = redis.call('HINCRBY', KEYS[2], 'version', 1)
redis.call('HSET', KEYS[2], 'data', ARGV[4])
return { 1, user, role, ARGV[4], next_version, created, expiry }
