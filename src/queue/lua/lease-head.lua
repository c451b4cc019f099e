#!lua flags=allow-oom
-- Leases up to n jobs from the head of the list of a relaxed queue, when they stand there as they were added; in any other
-- state of the queue it does nothing, and `lease` must be asked. Guarantees as of `lease`.
--
-- KEYS[1] list       proj:<p>:queue:<q>           LIST, the waiting tasks as plain JSON
-- KEYS[2] waiting    proj:<p>:queue:<q>:waiting   LIST, <sha1><job> of each job whose bytes wait in the list, in its order
-- KEYS[3] leases     proj:<p>:queue:<q>:leases    ZSET, job by deadline (ms)
-- KEYS[4] delayed    proj:<p>:queue:<q>:delayed   ZSET, job by due time (ms)
-- KEYS[5] retry      proj:<p>:queue:<q>:retry     ZSET, job by original order (us)
-- KEYS[6] dead       proj:<p>:queue:<q>:dead      ZSET, job by moment (us)
-- KEYS[7] settings   proj:<p>:config:queue:<q>    HASH paused, order, weight
-- ARGV[1] not_after  ms, Redis time
-- ARGV[2] token      of this lease, never used before; each job's is this and a letter, from a on
-- ARGV[3] lease_ms   ms
-- ARGV[4] max_leased bound on jobs in flight
-- ARGV[5] max_dead   bound on dead letters, at which nothing more is leased
-- ARGV[6] wanted     1 to 10 jobs
-- Returns {next_due_ms or -1, weight, and of each job its id, attempt, raw, operation, deadline_ms, created_ms}; 0 when `lease`
-- must be asked; LATE, WRONGTYPE.
-- Cost: O(log n) per job; 9 commands, and two for each job of more than 1 KiB; one reply holds at most 1 MiB.
local call, W, WAITING, LEASES, DELAYED, RETRY, DEAD, SETTINGS = redis.call, unpack(KEYS)
local time = call('TIME')
local now_ms = math.floor(time[1] * 1000 + time[2] / 1000)
if now_ms > ARGV[1] + 0 then return { err = 'LATE the call came after its deadline' } end
local token, lease_ms, max_leased, max_dead, wanted, over = ARGV[2], ARGV[3] + 0, ARGV[4] + 0, ARGV[5] + 0, ARGV[6] + 0, 0
local oldest, unusual = call('ZRANGE', LEASES, '0', '0', 'WITHSCORES'), call('EXISTS', DELAYED, RETRY, DEAD, SETTINGS) > 0
local reply, refused = {}, nil
-- @include "./head-look"
if whole or refused then
-- @include "./head-back"
  return refused or 0
end
-- @include "./head-take"
return reply
