#!lua flags=allow-oom
-- Reads the log after a cursor, and makes its record when there is none, so that all who look agree on the epoch.
-- Renews the record's TTL, because streams that are open outlive a quiet log.
--
-- KEYS[1] meta          proj:<p>:progress:meta    HASH epoch, seq, run_id, bytes, oldest_at
-- KEYS[2] log           proj:<p>:progress:log     STREAM <seq>-0: e event, o operation, x ends it, t ms
-- KEYS[3] leases        proj:<p>:progress:leases  ZSET operation by time at which it is lost, ms
-- ARGV[1] not_after     ms, Redis time
-- ARGV[2] run_id        run of the server, '' when it is not known
-- ARGV[3] fresh_epoch   used when a new epoch begins
-- ARGV[4] max_seconds   retention
-- ARGV[5] after_epoch   the cursor
-- ARGV[6] after_seq     the cursor
-- ARGV[7] max           events at most
-- Returns {epoch, seq, overdue operations, 1, events after the cursor, oldest first} or {epoch, seq, overdue operations, 0}
-- when the cursor cannot be continued: another epoch, too old, or in the future. LATE, WRONGTYPE.
-- Cost: O(events), 8 commands.
-- @include "prelude"
-- @include "./open-log"
local now = redis_us()
if late(now / 1000) then return LATE end
local overdue = redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', now / 1000, 'LIMIT', 0, 100)
redis.call('XLEN', KEYS[2])

local epoch, seq = open_log(KEYS[1], KEYS[2], ARGV[2], ARGV[3])
local ttl = math.ceil(ARGV[4] * 1.25)
if redis.call('TTL', KEYS[1]) < ttl / 2 then redis.call('EXPIRE', KEYS[1], ttl) end

local after, first = tonumber(ARGV[6]), seq - redis.call('XLEN', KEYS[2]) + 1
if ARGV[5] ~= epoch or after > seq or after < first - 1 then return { epoch, int(seq), overdue, 0 } end
return { epoch, int(seq), overdue, 1, redis.call('XRANGE', KEYS[2], int(after + 1) .. '-0', '+', 'COUNT', ARGV[7]) }
