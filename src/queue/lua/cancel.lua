#!lua flags=allow-oom
-- Cancels a job. Waiting: its exact bytes leave the list; leased: its worker learns it at the next extend.
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
-- KEYS[12] hold      proj:<p>:queue:<q>:hold      string; while it lives, a strict queue waits for a retry; TTL
-- ARGV[1] not_after  ms, Redis time
-- ARGV[2] id         job
-- Returns {report of settle(), state, operation}: `c` for cancelled (also when it was before), 'missing', or the state of a
-- job that is over; LATE, WRONGTYPE.
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
local j = job(id)
local function over(state, ...)
  if state then finish(id, j, state) end
  close()
  return { report, ... }
end
if not j then return over(nil, 'missing') end
local operation = j.extra.operation or ''
if j.state == 'c' then return over(nil, 'c', '') end
if j.state == 'l' then
  call('SETRANGE', job_key(id), 0, 'c')
  return over(nil, 'c', operation)
end
if j.state == 'w' and call('ZREM', RETRY, id) == 0 then
  local sha = j.body
  local _, raw = find_waiting(id, sha, j.size, n.list)
  if raw then
    -- The first of equal bytes leaves the list, and with it the place in the line of the job whose bytes they are: that
    -- job takes over the place of this one.
    local own, owner = sha .. id, owner_of_first(sha, raw)
    local place = call('LPOS', WAITING, own)
    call('LREM', W, 1, raw)
    if place and owner ~= own then
      local left = call('LPOS', WAITING, owner)
      call('LSET', WAITING, place, owner)
      call('LREM', WAITING, left < place and 1 or -1, owner)
    else
      call('LREM', WAITING, 1, own)
    end
    return over('c', 'c', operation)
  end
  call('LREM', WAITING, 1, sha .. id)
  return over('t', 't')
elseif j.state == 'd' then
  call('ZREM', DELAYED, id)
  if call('GET', KEYS[12]) == id then call('DEL', KEYS[12]) end
elseif j.state ~= 'w' then
  return over(nil, j.state)
end
return over('c', 'c', operation)
