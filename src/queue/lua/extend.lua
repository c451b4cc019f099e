#!lua flags=allow-oom
-- Prolongs a lease from now on, for its holder only, and tells whether the job was cancelled meanwhile.
--
-- KEYS[1] list       proj:<p>:queue:<q>           LIST, the waiting tasks as plain JSON
-- KEYS[2] waiting    proj:<p>:queue:<q>:waiting   LIST, <sha1><job> of each job whose bytes wait in the list, in its order
-- KEYS[3] leases     proj:<p>:queue:<q>:leases    ZSET, job by deadline (ms)
-- KEYS[4] delayed    proj:<p>:queue:<q>:delayed   ZSET, job by due time (ms)
-- KEYS[5] retry      proj:<p>:queue:<q>:retry     ZSET, job by original order (us)
-- KEYS[6] dead       proj:<p>:queue:<q>:dead      ZSET, job by moment (us)
-- KEYS[7] size       proj:<p>:queue:<q>:size      string, bytes of all undone jobs
-- KEYS[8] dedupe     proj:<p>:queue:<q>:dedupe    HASH, dedupe key to job
-- KEYS[9] history    proj:<p>:queue:<q>:history   LIST, jobs that are over, oldest first; TTL 1 h
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
if not survey() then return WRONGTYPE end

local id = ARGV[2]
local j = job(id)
local deadline = tonumber(call('ZSCORE', LEASES, id) or 0)
if not j or j.token ~= ARGV[3] or deadline <= now_ms then return { 0 } end
local next_deadline = now_ms + ARGV[4]
call('ZADD', LEASES, next_deadline, id)
return { next_deadline, j.state == 'c' and 1 or 0, j.extra.operation or '' }
