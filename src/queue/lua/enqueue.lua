#!lua
-- Adds up to 100 jobs, all or none, in the order given.
-- Guarantee: the list gets exactly the bytes given; an equal Idempotency-Key adds nothing and answers the same; a job
-- whose dedupe key an undone job holds is not added, and that job is the answer.
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
-- KEYS[12] idempotency proj:<p>:idempotency:…       HASH
-- ARGV[1] not_after  ms, Redis time
-- ARGV[2] fingerprint of the request, '' without an Idempotency-Key
-- ARGV[3] max_jobs   bound on undone jobs, dead ones not counted
-- ARGV[4] max_bytes  bound on the bytes of undone jobs
-- ARGV[5..] jobs...  six each: id, raw JSON, max_attempts, delay in ms, dedupe key or '', operation or ''
-- Returns {'ok', id, state, …}, {'full'}, REUSED, LATE, WRONGTYPE. An id that was not given is of a job that was there.
-- Cost: O(log n) per job, 6 commands each.
-- @include "prelude"
-- @include "idempotency"
-- @include "./queue"
if late(now_ms) then return LATE end
if not types_ok() or not is_type(KEYS[12], 'hash') then return WRONGTYPE end
local before = replay(KEYS[12], ARGV[2])
if before then return before end
reap()

local fresh, bytes, reply = {}, 0, { 'ok' }
local claimed = {}
for i = 5, #ARGV, 6 do
  local id, raw, dedupe = ARGV[i], ARGV[i + 1], ARGV[i + 4]
  local holder = dedupe ~= '' and (claimed[dedupe] or redis.call('HGET', DEDUPE, dedupe))
  if holder then
    local fields = job(holder)
    reply[#reply + 1] = holder
    reply[#reply + 1] = fields and fields[1] or 'waiting'
  else
    if dedupe ~= '' then claimed[dedupe] = id end
    fresh[#fresh + 1] = i
    bytes = bytes + #raw
    reply[#reply + 1] = id
    reply[#reply + 1] = tonumber(ARGV[i + 3]) > 0 and 'delayed' or 'waiting'
  end
end

if #fresh > 0 then
  local jobs = redis.call('LLEN', W) + redis.call('ZCARD', DELAYED) + redis.call('ZCARD', LEASES) + redis.call('ZCARD', RETRY)
  if jobs + #fresh > tonumber(ARGV[3]) then return { 'full' } end
  if (tonumber(redis.call('GET', SIZE)) or 0) + bytes > tonumber(ARGV[4]) then return { 'full' } end
end

for _, i in ipairs(fresh) do
  local id, raw, delay, dedupe, operation = ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 3]), ARGV[i + 4], ARGV[i + 5]
  local order = tail_order()
  local key = job_key(id)
  redis.call('HSET', key, 'state', delay > 0 and 'delayed' or 'waiting', 'raw', raw, 'attempts', 0, 'max', ARGV[i + 2],
    'order', order, 'created_ms', int(now_ms))
  if operation ~= '' then redis.call('HSET', key, 'operation', operation) end
  if dedupe ~= '' then
    redis.call('HSET', key, 'dedupe', dedupe)
    redis.call('HSET', DEDUPE, dedupe, id)
  end
  if delay > 0 then
    redis.call('ZADD', DELAYED, int(now_ms + delay), id)
  else
    push_waiting(id, raw, order)
  end
end
if #fresh > 0 then
  redis.call('INCRBY', SIZE, bytes)
  redis.call('PUBLISH', WAKE, '')
end
return remember(KEYS[12], ARGV[2], reply)
