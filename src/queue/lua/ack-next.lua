#!lua flags=allow-oom
-- Ends one leased job as done and leases the next: a worker's whole cycle in one call. Guarantees as of `ack` and `lease`;
-- with a stale token nothing is leased.
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
-- KEYS[13] settings  proj:<p>:config:queue:<q>    HASH paused, order, weight
-- KEYS[14] hold      proj:<p>:queue:<q>:hold      string; while it lives, a strict queue waits for a retry; TTL
-- ARGV[1] not_after  ms, Redis time
-- ARGV[2] token      of this lease, never used before
-- ARGV[3] lease_ms   ms
-- ARGV[4] max_leased bound on jobs in flight
-- ARGV[5] max_dead   bound on dead letters, at which nothing more is leased
-- ARGV[6] project_id that a task of others must name
-- ARGV[7] default_attempts for tasks of others
-- ARGV[8] order      'relaxed' or 'strict', unless the owner set it
-- ARGV[9] id         job that is done
-- ARGV[10] held      token of its lease
-- ARGV[11] result    as JSON or ''
-- ARGV[12..] ids...  unused ids, one for each job that may be leased
-- Returns {{state, operation} or {'stale'}, report, next_due_ms, unreadable, weight, job…} as `lease`; LATE, WRONGTYPE.
-- Cost: O(log n) per job; 26 commands and 4 for each job.
-- @include "prelude"
-- @include "./queue"
-- @include "./reap"
-- @include "./settle"
-- @include "./ending"
-- @include "./leasing"
if late(now_ms) then return LATE end
if not survey() then return WRONGTYPE end
local settings = read_settings(KEYS[13])

local ending = end_job(ARGV[9], ARGV[10], ARGV[11])
local report, jobs = { 0 }, {}
if ending[1] ~= 'stale' then
  report = settle()
  jobs = take({
    token = ARGV[2], lease_ms = tonumber(ARGV[3]), max_leased = tonumber(ARGV[4]), max_dead = tonumber(ARGV[5]),
    project_id = ARGV[6], attempts = ARGV[7], order = ARGV[8], settings = settings, hold = KEYS[14], ids = 12,
  })
end
close()
local reply = { ending, report, next_due(), unread, settings.weight }
for _, line in ipairs(jobs) do reply[#reply + 1] = line end
return reply
