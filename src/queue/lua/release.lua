#!lua flags=allow-oom
-- Gives leased jobs back untouched: to the head, with the attempt not counted. For a reply that nobody received and for
-- shutdown. Of a named request only the latest delivery may give back; stale tokens change nothing.
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
-- KEYS[12] request   proj:<p>:queue:<q>:request:… HASH nonce, token, ids
-- ARGV[1] not_after  ms, Redis time
-- ARGV[2] nonce      of the delivery, or 0 when the request was not named
-- ARGV[3..] jobs...  two each: job, token
-- Returns the number given back; LATE, WRONGTYPE.
-- Cost: O(log n) per job, 6 commands each.
-- @include "prelude"
-- @include "./queue"
if late(now_ms) then return LATE end
if not survey() or not is_type(KEYS[12], 'hash') then return WRONGTYPE end
if ARGV[2] ~= '0' and call('HGET', KEYS[12], 'nonce') ~= ARGV[2] then return 0 end

local count = 0
for i = 3, #ARGV, 2 do
  local id, token = ARGV[i], ARGV[i + 1]
  local j = job(id)
  if j and j.token == token and call('ZREM', LEASES, id) == 1 then
    count = count + 1
    if j.state == 'c' then
      finish(id, j, 'c')
    else
      call('SETRANGE', job_key(id), 0, 'w' .. string.char(j.attempts - 1))
      call('ZADD', RETRY, j.order, id)
    end
  end
end
close()
if count > 0 then call('PUBLISH', WAKE, '') end
return count
