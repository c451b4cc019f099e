#!lua flags=allow-oom
-- The state of one job, after bringing the queue up to date.
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
-- Returns {report of settle(), position or -1, due_ms or -1, deadline_ms or -1, field, value, …} of the record without its
-- bytes; the report alone when there is none; LATE, WRONGTYPE.
-- Cost: O(1,000) at most to find the position; beyond that it is not told.
-- @include "prelude"
-- @include "./queue"
if late(now_ms) then return LATE end
if not types_ok() then return WRONGTYPE end
local report = settle()

local id = ARGV[2]
local fields = job(id, 'raw')
if not fields then return { report } end
local position = -1
if fields[1] == 'waiting' then
  local rank = redis.call('ZRANK', RETRY, id)
  if rank then
    position = rank + 1
  else
    local at = redis.call('LPOS', W, fields[2], 'MAXLEN', 1000)
    if at then position = redis.call('ZCARD', RETRY) + at + 1 end
  end
end
local reply = { report, position, redis.call('ZSCORE', DELAYED, id) or '-1', redis.call('ZSCORE', LEASES, id) or '-1' }
for _, name in ipairs({ 'state', 'attempts', 'max', 'error', 'result', 'operation', 'created_ms', 'finished_ms' }) do
  local value = redis.call('HGET', job_key(id), name)
  if value then
    reply[#reply + 1] = name
    reply[#reply + 1] = value
  end
end
return reply
