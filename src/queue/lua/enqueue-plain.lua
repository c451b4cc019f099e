#!lua
-- Adds up to 100 jobs to the tail of the list, all or none: jobs without delay and dedupe key, of a request without an
-- Idempotency-Key. What nearly every request is, so it does nothing else, and no function is made on its way; where the
-- list is shorter than the jobs in it, `enqueue` must find out which others popped, and this does nothing.
-- Guarantee: the list gets exactly the bytes given.
--
-- KEYS[1] list       proj:<p>:queue:<q>           LIST, the waiting tasks as plain JSON
-- KEYS[2] waiting    proj:<p>:queue:<q>:waiting   LIST, <sha1><job> of each job whose bytes wait in the list, in its order
-- KEYS[3] leases     proj:<p>:queue:<q>:leases    ZSET, job by deadline (ms)
-- KEYS[4] delayed    proj:<p>:queue:<q>:delayed   ZSET, job by due time (ms)
-- KEYS[5] retry      proj:<p>:queue:<q>:retry     ZSET, job by original order (us)
-- KEYS[6] size       proj:<p>:queue:<q>:size      string, bytes of all undone jobs
-- KEYS[7] wake      proj:<p>:queue:<q>:wake      channel
-- ARGV[1] not_after  ms, Redis time
-- ARGV[2] max_jobs   bound on undone jobs, dead ones not counted
-- ARGV[3] max_bytes  bound on the bytes of undone jobs
-- ARGV[4..] jobs...  four each: SHA-1 of the JSON in hex with the id behind it, raw JSON, max_attempts, operation or ''
-- Returns 1; 0 when `enqueue` must be asked; 2 when the queue is full; LATE, WRONGTYPE.
-- Cost: O(jobs); 8 commands.
local call, pcall, W, WAITING, SIZE = redis.call, redis.pcall, KEYS[1], KEYS[2], KEYS[6]
local time = call('TIME')
local now = time[1] * 1000000 + time[2]
if now > ARGV[1] * 1000 then return { err = 'LATE the call came after its deadline' } end
local undone = call('ZCARD', KEYS[3])
if call('EXISTS', KEYS[4], KEYS[5]) > 0 then undone = undone + call('ZCARD', KEYS[4]) + call('ZCARD', KEYS[5]) end

local count, bytes, created = (#ARGV - 3) / 4, 0, math.floor(now / 1000)
-- With room for one, since to grow costs a table as much as to be made.
local raws, entries, sets = { '' }, { '' }, { '', '' }
for i = 1, count do
  local entry, raw, operation = ARGV[4 * i], ARGV[4 * i + 1], ARGV[4 * i + 3]
  local extra = operation == '' and '' or cmsgpack.pack({ operation = operation })
  raws[i], entries[i], bytes = raw, entry, bytes + #raw
  sets[2 * i - 1] = W .. ':job:' .. string.sub(entry, 41)
  sets[2 * i] = struct.pack(
    '<c1BBddI4Bc0I2c0c40', 'w', 0, ARGV[4 * i + 2], now + i - 1, created, #raw, 0, '', #extra, extra, entry
  )
end

-- Each write answers how much there is now, so nothing of that is asked before; what may not be is taken back below.
local size = pcall('INCRBY', SIZE, bytes)
if type(size) == 'table' then return { err = 'WRONGTYPE a key holds a value of another kind' } end
local list = size <= ARGV[3] + 0 and pcall('RPUSH', W, unpack(raws))
local waiting = type(list) == 'number' and list + undone <= ARGV[2] + 0 and pcall('RPUSH', WAITING, unpack(entries))
if type(waiting) == 'number' and waiting <= list then
  call('MSET', unpack(sets))
  -- Who looks while there is work goes on looking, so only the first job has to wake somebody.
  if list == count then call('PUBLISH', KEYS[7], '') end
  return 1
end

if type(waiting) == 'number' then call('RPOP', WAITING, count) end
if type(list) == 'number' then call('RPOP', W, count) end
if call('DECRBY', SIZE, bytes) <= 0 then call('DEL', SIZE) end
-- A value of another kind ends the script here.
return call('LLEN', WAITING) > call('LLEN', W) and 0 or 2
