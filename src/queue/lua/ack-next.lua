#!lua flags=allow-oom
-- Ends up to 100 leased jobs as done and leases the next for those that were held: the whole cycle of one worker or of some in one
-- call. Guarantees as of `ack` and `lease-head`. Where `lease-head` would do nothing, this does nothing either.
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
-- KEYS[10] settings   proj:<p>:config:queue:<q>    HASH paused, order, weight
-- KEYS[11] purged     proj:<p>:queue:<q>:purged    string, moment of a purge that is under way (ms)
-- ARGV[1] not_after  ms, Redis time
-- ARGV[2] token      of this lease, never used before; each job's is this and a letter, from a on
-- ARGV[3] lease_ms   ms
-- ARGV[4] max_leased bound on jobs in flight
-- ARGV[5] max_dead   bound on dead letters, at which nothing more is leased
-- ARGV[6] wanted     jobs for each that is done
-- ARGV[7] most       jobs altogether, 1 to 10
-- ARGV[8..] acks...  three each: job, token, result as JSON or ''
-- Returns {ending as of `ack`, …, and what `lease-head` returns…}; the endings only when all are stale; 0 when `lease` must be
-- asked; LATE, WRONGTYPE.
-- Cost: O(log n) per job; 13 commands, one for each job, and three for each of more than 1 KiB.
local call, W, WAITING, LEASES, DELAYED, RETRY, DEAD, SIZE, DEDUPE, HISTORY, SETTINGS, PURGED = redis.call, unpack(KEYS)
local time = call('TIME')
local now_ms = math.floor(time[1] * 1000 + time[2] / 1000)
if now_ms > ARGV[1] + 0 then return { err = 'LATE the call came after its deadline' } end
local oldest = call('ZRANGE', LEASES, '0', '0', 'WITHSCORES')
local unusual = call('EXISTS', DELAYED, RETRY, DEAD, SETTINGS, PURGED) > 0
local purged_ms = unusual and call('GET', PURGED)
local first, last, endings, refused = 8, #ARGV, {}, nil
-- @include "./end-look"
if held_jobs == 0 then return endings end
local token, lease_ms, max_leased, max_dead, wanted = ARGV[2], ARGV[3] + 0, ARGV[4] + 0, ARGV[5] + 0, math.min(ARGV[6] * held_jobs, ARGV[7])
local reply = endings
-- @include "./head-look"
if not whole and not refused then
-- @include "./end-write"
end
if whole or refused then
-- @include "./head-back"
  return refused or 0
end
-- @include "./head-take"
return reply
