#!lua flags=allow-oom
-- The state of one job, after bringing the queue up to date.
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
-- ARGV[2] id         job
-- Returns {report of settle(), position or -1, due_ms or -1, deadline_ms or -1, state, attempts, max_attempts, created_ms,
-- finished_ms or -1, error, operation, result as JSON or ''}; the report alone when there is none; LATE, WRONGTYPE.
-- Cost: O(1,000) at most to find the position; beyond that it is not told.
-- @include "prelude"
-- @include "./queue"
-- @include "./reap"
-- @include "./settle"
-- @include "./position"
if late(now_ms) then return LATE end
if not survey() then return WRONGTYPE end
local report = settle()
close()

local id = ARGV[2]
local j = job(id)
if not j then return { report } end
local position = -1
if j.state == 'w' then
  local rank = call('ZRANK', RETRY, id)
  if rank then
    position = rank + 1
  else
    local at = find_waiting(id, j.body, j.size, 1000)
    if at then position = n.retry + at + 1 end
  end
end
local done, ended = j.state == 'o', string.find('oct', j.state, 1, true)
return {
  report, position, call('ZSCORE', DELAYED, id) or -1, call('ZSCORE', LEASES, id) or -1, j.state, j.attempts, j.max, j.created,
  ended and j.size == 0 and j.order or -1, j.extra.error or '', j.extra.operation or '', done and j.body or '',
}
