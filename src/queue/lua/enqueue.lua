#!lua
-- Adds up to 100 jobs, all or none, in the order given.
-- Guarantee: the list gets exactly the bytes given; an equal Idempotency-Key adds nothing and answers the same; a job
-- whose dedupe key an undone job holds is not added, and that job is the answer.
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
-- KEYS[12] idempotency  proj:<p>:idempotency:…    HASH fingerprint, reply; TTL 10 min
-- ARGV[1] not_after  ms, Redis time
-- ARGV[2] fingerprint of the request, '' without an Idempotency-Key
-- ARGV[3] max_jobs   bound on undone jobs, dead ones not counted
-- ARGV[4] max_bytes  bound on the bytes of undone jobs
-- ARGV[5..] jobs...  six each: id, raw JSON, max_attempts, delay in ms, dedupe key or '', operation or ''
-- Returns {'ok', id, state, …}, {'full'}, REUSED, LATE, WRONGTYPE. An id that was not given is of a job that was there.
-- Cost: O(log n) per job; 15 commands and 4 for each job.
-- @include "prelude"
-- @include "idempotency"
-- @include "./queue"
-- @include "./reap"
if late(now_ms) then return LATE end
if not survey() or not is_type(KEYS[12], 'hash') then return WRONGTYPE end
local before = replay(KEYS[12], ARGV[2])
if before then return before end
reap()
close()

local fresh, bytes, reply = {}, 0, { 'ok' }
local claimed = {}
for i = 5, #ARGV, 6 do
  local id, raw, dedupe = ARGV[i], ARGV[i + 1], ARGV[i + 4]
  local holder = dedupe ~= '' and (claimed[dedupe] or call('HGET', DEDUPE, dedupe))
  if holder then
    local j = job(holder)
    reply[#reply + 1] = holder
    reply[#reply + 1] = j and j.state or 'w'
  else
    if dedupe ~= '' then claimed[dedupe] = id end
    fresh[#fresh + 1] = i
    bytes = bytes + #raw
    reply[#reply + 1] = id
    reply[#reply + 1] = tonumber(ARGV[i + 3]) > 0 and 'd' or 'w'
  end
end
if #fresh > 0 then
  local jobs = n.list + n.delayed + n.leases + n.retry
  if jobs + #fresh > tonumber(ARGV[3]) or n.size + bytes > tonumber(ARGV[4]) then return { 'full' } end
end

for _, i in ipairs(fresh) do
  local id, raw, delay, dedupe, operation = ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 3]), ARGV[i + 4], ARGV[i + 5]
  local j = { state = 'd', attempts = 0, max = ARGV[i + 2], order = tick(), created = now_ms, size = #raw, token = '' }
  j.extra = { operation = operation ~= '' and operation or nil, dedupe = dedupe ~= '' and dedupe or nil }
  j.body = #raw <= SHORT and raw or ''
  if dedupe ~= '' then call('HSET', DEDUPE, dedupe, id) end
  if #raw > SHORT then call('RPUSH', raw_key(id), raw) end
  if delay > 0 then
    save(id, j)
    call('ZADD', DELAYED, now_ms + delay, id)
  else
    push_waiting(id, j)
  end
end
if #fresh > 0 then
  call('INCRBY', SIZE, bytes)
  -- Who looks while there is work goes on looking, so only the first job has to wake somebody.
  if n.list == 0 then call('PUBLISH', WAKE, '') end
end
return remember(KEYS[12], ARGV[2], reply)
