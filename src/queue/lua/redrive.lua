#!lua
-- Puts up to n dead letters back to the tail of the list, oldest first, with identical bytes and all attempts anew.
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
-- ARGV[2] limit      1 to 100
-- Returns the number put back; LATE, WRONGTYPE.
-- Cost: O(log n) per job, 6 commands each.
-- @include "prelude"
-- @include "./queue"
if late(now_ms) then return LATE end
if not survey() then return WRONGTYPE end

local ids = call('ZRANGE', DEAD, 0, tonumber(ARGV[2]) - 1)
for _, id in ipairs(ids) do
  local j = job(id)
  if j then
    j.attempts = 0
    push_waiting(id, j)
  end
  call('ZREM', DEAD, id)
end
if #ids > 0 then call('PUBLISH', WAKE, '') end
return #ids
