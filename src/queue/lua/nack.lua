#!lua flags=allow-oom
-- Gives a leased job back as failed: it waits for its retry, or is dead when its attempts are used up.
-- A repetition with the same token is known, whatever became of the job since; a stale token changes nothing.
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
-- ARGV[3] token      of the lease
-- ARGV[4] error      what went wrong
-- ARGV[5] retry_ms   ms until the retry, or '' for exponential backoff (1 s doubled each time, at most 5 minutes)
-- ARGV[6] jitter     factor on the backoff, 0.9 to 1.1
-- ARGV[7] dead       '1' to bury it whatever its attempts
-- Returns state and operation in one word: `d`, `w`, `x` or `c`; `r` for a repetition, `s` for a stale token; LATE, WRONGTYPE.
-- Cost: O(log n), 18 commands.
-- @include "prelude"
-- @include "./queue"
if late(now_ms) then return LATE end
if not survey() then return WRONGTYPE end

-- So many nacks of a job are known again: who repeats one of long ago has missed as many leases since.
local NACKS = 4
local id, token = ARGV[2], ARGV[3]
local j = job(id)
if not j then return 's' end
local nacks = j.extra.nacks or {}
for _, settled in ipairs(nacks) do
  if settled == token then return 'r' end
end
local deadline = tonumber(call('ZSCORE', LEASES, id) or 0)
if j.token ~= token or deadline <= now_ms then return 's' end

call('ZREM', LEASES, id)
table.insert(nacks, 1, token)
j.extra.nacks = { unpack(nacks, 1, NACKS) }
local operation = j.extra.operation or ''
if j.state == 'c' then
  finish(id, j, 'c')
  close()
  return 'c' .. operation
end
if ARGV[7] == '1' or j.attempts >= j.max then
  bury(id, j, ARGV[4])
  return 'x' .. operation
end
local wait = tonumber(ARGV[5]) or math.min(1000 * 2 ^ (j.attempts - 1), 300000) * tonumber(ARGV[6])
j.state, j.token, j.extra.error = wait < 1 and 'w' or 'd', '', ARGV[4]
save(id, j)
-- Who waits for jobs looks when there is one, or learns when there will be.
call('PUBLISH', WAKE, '')
if wait < 1 then
  call('ZADD', RETRY, j.order, id)
else
  call('ZADD', DELAYED, int(now_ms + wait), id)
  -- Where the order is strict, nobody passes it meanwhile; elsewhere nobody reads this.
  call('SET', KEYS[12], id, 'PX', int(wait))
end
return j.state .. operation
