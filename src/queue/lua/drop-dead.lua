#!lua flags=allow-oom
-- Removes up to n dead letters, oldest first, with their bytes.
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
-- ARGV[2] limit      1 to 100
-- Returns the number removed; LATE, WRONGTYPE.
-- Cost: O(log n) per job, 5 commands each.
-- @include "prelude"
-- @include "./queue"
if late(now_ms) then return LATE end
if not types_ok() then return WRONGTYPE end

local ids = redis.call('ZRANGE', DEAD, 0, tonumber(ARGV[2]) - 1)
for _, id in ipairs(ids) do
  shrink(redis.call('HSTRLEN', job_key(id), 'raw'))
  redis.call('UNLINK', job_key(id))
  redis.call('ZREM', DEAD, id)
end
return #ids
