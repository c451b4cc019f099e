#!lua flags=allow-oom
-- Ends one leased job as done and leases the next, whatever the state of the queue. Guarantees as of `ack` and `lease`; with
-- a stale token nothing is leased.
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
-- KEYS[12] settings  proj:<p>:config:queue:<q>    HASH paused, order, weight
-- KEYS[13] hold      proj:<p>:queue:<q>:hold      string; while it lives, a strict queue waits for a retry; TTL
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
-- Returns {ending as of `ack`, and what `lease` returns…}, or that of a stale token alone; LATE, WRONGTYPE.
-- Cost: O(log n) per job; 26 commands and 6 for each job.
-- @include "prelude"
-- @include "./queue"
-- @include "./reap"
-- @include "./settle"
-- @include "./others"
-- @include "./leasing"
if late(now_ms) then return LATE end
if not survey() then return WRONGTYPE end
local settings = read_settings(KEYS[12])

local first, last, endings = 9, 11, {}
-- @include "./end-look"
if endings[1] == 's' then return endings end
-- @include "./end-write"
survey()
local report = settle()
local jobs = take({
  token = ARGV[2], lease_ms = tonumber(ARGV[3]), max_leased = tonumber(ARGV[4]), max_dead = tonumber(ARGV[5]),
  project_id = ARGV[6], attempts = tonumber(ARGV[7]), order = ARGV[8], hold = KEYS[13], ids = 12,
}, settings)
close()
return { endings[1], report, unread, 0, ARGV[2], next_due(), settings.weight, unpack(jobs) }
