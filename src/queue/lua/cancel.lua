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
-- KEYS[10] history   proj:<p>:queue:<q>:history   LIST, jobs that are over, oldest first; TTL 1 h
-- KEYS[11] wake      proj:<p>:queue:<q>:wake      channel
-- KEYS[12] purged    proj:<p>:queue:<q>:purged    string, moment of a purge that is under way (ms)
-- KEYS[13] hold      proj:<p>:queue:<q>:hold      string; while it lives, a strict queue waits for a retry; TTL
-- ARGV[1] not_after  ms, Redis time
-- ARGV[2] id         job
-- Returns {report of settle(), state, operation}: 'cancelled' (also when it was before), 'missing', or the state of a job
-- that is over; LATE, WRONGTYPE.
-- Cost: O(length of the list) for a job that waits, else O(log n).
-- @include "prelude"
-- @include "./queue"
-- @include "./reap"
-- @include "./settle"
-- @include "./position"
if late(now_ms) then return LATE end
if not survey() then return WRONGTYPE end
local report = settle()

local id = ARGV[2]
local fields = job(id, 'order', 'operation', 'sha', 'dedupe', 'size')
local function over(state, ...)
  if state then finish(id, state, fields[5]) end
  close()
  return { report, ... }
end
if not fields then return over(nil, 'missing') end
local state, order, operation, sha = fields[1], fields[2], fields[3] or '', fields[4]
if state == 'cancelled' then return over(nil, 'cancelled', '') end
if state == 'leased' then
  call('HSET', job_key(id), 'state', 'cancelled')
  return over(nil, 'cancelled', operation)
end
if state == 'waiting' and call('ZREM', RETRY, id) == 0 then
  local _, raw = find_waiting(id, sha, tonumber(fields[6]), n.list)
  forget_waiting(id, sha, order)
  -- The first of equal bytes leaves the list, so the oldest job with these bytes takes over this one's place in the line.
  local twin = call('ZRANGEBYLEX', BYTES, '[' .. sha .. ':', '(' .. sha .. ';', 'LIMIT', 0, 1)[1]
  local older, other = string.match(twin or '', '^%x+:(%d+):(.+)$')
  if older and tonumber(older) < tonumber(order) then
    forget_waiting(other, sha, older)
    call('HSET', job_key(other), 'order', order)
    call('ZADD', WAITING, order, other)
    call('ZADD', BYTES, 0, index(sha, order, other))
  end
  if not raw then return over('taken', 'taken') end
  call('LREM', W, 1, raw)
elseif state == 'delayed' then
  call('ZREM', DELAYED, id)
  if call('GET', KEYS[13]) == id then call('DEL', KEYS[13]) end
elseif state ~= 'waiting' then
  return over(nil, state)
end
return over('cancelled', 'cancelled', operation)
