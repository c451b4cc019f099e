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
-- KEYS[10] history   proj:<p>:queue:<q>:history   LIST, jobs that are over, oldest first; TTL 1 h
-- KEYS[11] wake      proj:<p>:queue:<q>:wake      channel
-- KEYS[12] purged    proj:<p>:queue:<q>:purged    string, moment of a purge that is under way (ms)
-- KEYS[13] idempotency  proj:<p>:idempotency:…    HASH fingerprint, reply; TTL 10 min
-- ARGV[1] not_after  ms, Redis time
-- ARGV[2] fingerprint of the request, '' without an Idempotency-Key
-- ARGV[3] max_jobs   bound on undone jobs, dead ones not counted
-- ARGV[4] max_bytes  bound on the bytes of undone jobs
-- ARGV[5..] jobs...  seven each: id, raw JSON, its SHA-1 in hex, max_attempts, delay in ms, dedupe key or '', operation or ''
-- Returns {'ok', id, state, …}, {'full'}, REUSED, LATE, WRONGTYPE. An id that was not given is of a job that was there.
-- Cost: O(log n) per job; 15 commands and 4 for each job.
-- @include "prelude"
-- @include "idempotency"
-- @include "./queue"
-- @include "./reap"
if late(now_ms) then return LATE end
if not survey() or not is_type(KEYS[13], 'hash') then return WRONGTYPE end
local before = replay(KEYS[13], ARGV[2])
if before then return before end
reap()
close()

local fresh, bytes, reply = {}, 0, { 'ok' }
local claimed = {}
for i = 5, #ARGV, 7 do
  local id, raw, dedupe = ARGV[i], ARGV[i + 1], ARGV[i + 5]
  local holder = dedupe ~= '' and (claimed[dedupe] or call('HGET', DEDUPE, dedupe))
  if holder then
    local fields = job(holder)
    reply[#reply + 1] = holder
    reply[#reply + 1] = fields and fields[1] or 'waiting'
  else
    if dedupe ~= '' then claimed[dedupe] = id end
    fresh[#fresh + 1] = i
    bytes = bytes + #raw
    reply[#reply + 1] = id
    reply[#reply + 1] = tonumber(ARGV[i + 4]) > 0 and 'delayed' or 'waiting'
  end
end

if #fresh > 0 then
  local jobs = n.list + n.delayed + n.leases + n.retry
  if jobs + #fresh > tonumber(ARGV[3]) or n.size + bytes > tonumber(ARGV[4]) then return { 'full' } end
end

local raws, orders, indexed = {}, {}, {}
for _, i in ipairs(fresh) do
  local id, raw, sha, delay, dedupe, operation =
    ARGV[i], ARGV[i + 1], ARGV[i + 2], tonumber(ARGV[i + 4]), ARGV[i + 5], ARGV[i + 6]
  local order = #orders == 0 and tail_order() or tick()
  local key = job_key(id)
  call('HSET', key, 'state', delay > 0 and 'delayed' or 'waiting', 'size', #raw, 'sha', sha, 'attempts', 0, 'max', ARGV[i + 3],
    'order', order, 'created_ms', int(now_ms))
  if operation ~= '' then call('HSET', key, 'operation', operation) end
  if dedupe ~= '' then
    call('HSET', key, 'dedupe', dedupe)
    call('HSET', DEDUPE, dedupe, id)
  end
  if delay > 0 then
    call('RPUSH', raw_key(id), raw)
    call('ZADD', DELAYED, int(now_ms + delay), id)
  else
    raws[#raws + 1] = raw
    orders[#orders + 1] = order
    orders[#orders + 1] = id
    indexed[#indexed + 1] = 0
    indexed[#indexed + 1] = index(sha, order, id)
  end
end
if #raws > 0 then
  call('RPUSH', W, unpack(raws))
  call('ZADD', WAITING, unpack(orders))
  call('ZADD', BYTES, unpack(indexed))
end
if #fresh > 0 then
  call('INCRBY', SIZE, bytes)
  -- Who looks while there is work goes on looking, so only the first job has to wake somebody.
  if n.list == 0 then call('PUBLISH', WAKE, '') end
end
return remember(KEYS[13], ARGV[2], reply)
