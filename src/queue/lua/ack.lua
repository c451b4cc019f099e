#!lua flags=allow-oom
-- Ends up to 100 leased jobs as done. A repetition with the same token is known; a stale token changes nothing.
--
-- KEYS[1] list       proj:<p>:queue:<q>           LIST, the waiting tasks as plain JSON
-- KEYS[2] leases     proj:<p>:queue:<q>:leases    ZSET, job by deadline (ms)
-- KEYS[3] size       proj:<p>:queue:<q>:size      string, bytes of all undone jobs
-- KEYS[4] dedupe     proj:<p>:queue:<q>:dedupe    HASH, dedupe key to job
-- KEYS[5] history    proj:<p>:queue:<q>:history   LIST, jobs that are over, oldest first; TTL 1 h
-- KEYS[6] purged     proj:<p>:queue:<q>:purged    string, moment of a purge that is under way (ms)
-- ARGV[1] not_after  ms, Redis time
-- ARGV[2..] acks...  three each: job, token, result as JSON or ''
-- Returns for each its state and operation in one word: `o` done, `c` cancelled; `r` for a repetition, `s` for a stale token; LATE, WRONGTYPE.
-- Cost: O(log n) per job; 6 commands and 2 for each job.
local call, W, LEASES, SIZE, DEDUPE, HISTORY, PURGED = redis.call, unpack(KEYS)
local time = call('TIME')
local now_ms = math.floor(time[1] * 1000 + time[2] / 1000)
if now_ms > ARGV[1] + 0 then return { err = 'LATE the call came after its deadline' } end
local first, last, endings, purged_ms, refused = 2, #ARGV, {}, call('GET', PURGED), nil
local oldest = last > 4 and call('ZRANGE', LEASES, '0', '0', 'WITHSCORES') or {}
-- @include "./end-look"
-- @include "./end-write"
return refused or endings
