#!lua
-- Puts up to n dead letters back to the tail of the list, oldest first, with identical bytes and all attempts anew.
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
-- Returns the number put back; LATE, WRONGTYPE.
-- Cost: O(log n) per job, 6 commands each.
-- @include "prelude"
-- @include "./queue"
if late(now_ms) then return LATE end
if not types_ok() then return WRONGTYPE end

local ids = redis.call('ZRANGE', DEAD, 0, tonumber(ARGV[2]) - 1)
for _, id in ipairs(ids) do
  local fields = job(id, 'raw')
  if fields and fields[2] then
    local order = tail_order()
    redis.call('HDEL', job_key(id), 'settled')
    redis.call('HSET', job_key(id), 'state', 'waiting', 'attempts', 0, 'order', order)
    push_waiting(id, fields[2], order)
  end
  redis.call('ZREM', DEAD, id)
end
if #ids > 0 then redis.call('PUBLISH', WAKE, '') end
return #ids
