#!lua flags=allow-oom
-- Gives leased jobs back untouched: to the head, with the attempt not counted. For a reply that nobody received and for
-- shutdown. Of a named request only the latest delivery may give back; stale tokens change nothing.
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
-- KEYS[12] request   proj:<p>:queue:<q>:request:… HASH nonce, token, ids
-- ARGV[1] not_after  ms, Redis time
-- ARGV[2] nonce      of the delivery, or 0 when the request was not named
-- ARGV[3..] jobs...  two each: job, token
-- Returns the number given back; LATE, WRONGTYPE.
-- Cost: O(log n) per job, 6 commands each.
-- @include "prelude"
-- @include "./queue"
if late(now_ms) then return LATE end
if not types_ok() or not is_type(KEYS[12], 'hash') then return WRONGTYPE end
if ARGV[2] ~= '0' and redis.call('HGET', KEYS[12], 'nonce') ~= ARGV[2] then return 0 end

local count = 0
for i = 3, #ARGV, 2 do
  local id, token = ARGV[i], ARGV[i + 1]
  local fields = job(id, 'token', 'order')
  if fields and fields[2] == token and redis.call('ZREM', LEASES, id) == 1 then
    count = count + 1
    redis.call('HSET', job_key(id), 'settled', token)
    if fields[1] == 'cancelled' then
      finish(id, 'cancelled')
    else
      redis.call('HINCRBY', job_key(id), 'attempts', -1)
      to_retry(id, fields[3])
    end
  end
end
if count > 0 then redis.call('PUBLISH', WAKE, '') end
return count
