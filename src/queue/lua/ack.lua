#!lua flags=allow-oom
-- Ends up to 100 leased jobs as done. A repetition with the same token answers the same; a stale token changes nothing.
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
-- KEYS[10] history   proj:<p>:queue:<q>:history   LIST, jobs that are over, oldest first; TTL 1 h
-- KEYS[11] wake      proj:<p>:queue:<q>:wake      channel
-- KEYS[12] purged    proj:<p>:queue:<q>:purged    string, moment of a purge that is under way (ms)
-- ARGV[1] not_after  ms, Redis time
-- ARGV[2..] acks...  three each: job, token, result as JSON or ''
-- Returns for each {state, operation} with state 'done' or 'cancelled', or {'stale'}; LATE, WRONGTYPE.
-- Cost: O(log n) per job; 13 commands and 8 for each job.
-- @include "prelude"
-- @include "./queue"
-- @include "./ending"
if late(now_ms) then return LATE end
if not survey() then return WRONGTYPE end

local reply = {}
for i = 2, #ARGV, 3 do reply[#reply + 1] = end_job(ARGV[i], ARGV[i + 1], ARGV[i + 2]) end
close()
return reply
