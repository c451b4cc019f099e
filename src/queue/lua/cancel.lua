#!lua flags=allow-oom
-- Cancels a job. Waiting: its exact bytes leave the list; leased: its worker learns it at the next extend.
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
-- Returns {report of settle(), state, operation}: 'cancelled' (also when it was before), 'missing', or the state of a job
-- that is over; LATE, WRONGTYPE.
-- Cost: O(length of the list) for a job that waits, else O(log n).
-- @include "prelude"
-- @include "./queue"
if late(now_ms) then return LATE end
if not types_ok() then return WRONGTYPE end
local report = settle()

local id = ARGV[2]
local fields = job(id, 'raw', 'order', 'operation')
if not fields then return { report, 'missing' } end
local state, operation = fields[1], fields[4] or ''
if state == 'cancelled' then return { report, 'cancelled' } end
if state == 'leased' then
  redis.call('HSET', job_key(id), 'state', 'cancelled')
  return { report, 'cancelled', operation }
end
if state == 'waiting' then
  if redis.call('ZREM', RETRY, id) == 0 then
    forget_waiting(id, fields[2], fields[3])
    if redis.call('LREM', W, 1, fields[2]) == 0 then
      finish(id, 'taken')
      return { report, 'taken' }
    end
  end
elseif state == 'delayed' then
  redis.call('ZREM', DELAYED, id)
else
  return { report, state }
end
finish(id, 'cancelled')
return { report, 'cancelled', operation }
