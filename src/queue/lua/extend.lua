#!lua flags=allow-oom
-- Prolongs a lease from now on, for its holder only, and tells whether the job was cancelled meanwhile.
--
-- KEYS[1] list       proj:<p>:queue:<q>           LIST, the waiting tasks as plain JSON
-- KEYS[2] waiting    proj:<p>:queue:<q>:waiting   ZSET, job by order (us)
-- KEYS[3] bytes      proj:<p>:queue:<q>:bytes     ZSET by text: <sha1>:<order>:<job>
-- KEYS[4] leases     proj:<p>:queue:<q>:leases    ZSET, job by deadline (ms)
-- KEYS[5] delayed    proj:<p>:queue:<q>:delayed   ZSET, job by due time (ms)
-- KEYS[6] retry      proj:<p>:queue:<q>:retry     ZSET, job by original order (us)
-- KEYS[7] dead       proj:<p>:queue:<q>:dead      ZSET, job by moment (us)
-- KEYS[8] size       proj:<p>:queue:<q>:size      string, bytes of all undone jobs
-- KEYS[9] dedupe     proj:<p>:queue:<q>:dedupe    HASH, dedupe key to job
-- KEYS[10] wake      proj:<p>:queue:<q>:wake      channel
-- KEYS[11] purged    proj:<p>:queue:<q>:purged    string, moment of a purge that is under way (ms)
-- ARGV[1] not_after  ms, Redis time
-- ARGV[2] id         job
-- ARGV[3] token      of the lease
-- ARGV[4] lease_ms   ms from now
-- Returns {deadline_ms, cancelled 0|1, operation}, or {0} when the token is stale; LATE, WRONGTYPE.
-- Cost: O(log n), 4 commands.
-- @include "prelude"
-- @include "./queue"
if late(now_ms) then return LATE end
if not types_ok() then return WRONGTYPE end

local id = ARGV[2]
local fields = job(id, 'token', 'operation')
local deadline = tonumber(redis.call('ZSCORE', LEASES, id) or 0)
if not fields or fields[2] ~= ARGV[3] or deadline <= now_ms then return { 0 } end
local next_deadline = int(now_ms + tonumber(ARGV[4]))
redis.call('ZADD', LEASES, next_deadline, id)
return { next_deadline, fields[1] == 'cancelled' and 1 or 0, fields[3] or '' }
