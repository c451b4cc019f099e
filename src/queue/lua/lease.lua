#!lua flags=allow-oom
-- Ends up to 100 leased jobs as done, if any are named, and leases up to 10: retries and expired leases first, by their original order,
-- then the list from its head. With acks that are all stale nothing is leased; otherwise the acks are as of `ack`.
-- Guarantee: a job is leased to one token at a time; tasks that others pushed get a record here; what cannot be read goes
-- to the dead letters; the same request gets the same jobs again while it holds them; strict: one lease at a time.
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
-- KEYS[14] request   proj:<p>:queue:<q>:request:… HASH nonce, token, ids; TTL the lease's + 60 s
-- ARGV[1] not_after  ms, Redis time
-- ARGV[2] token      of this lease, never used before
-- ARGV[3] lease_ms   ms
-- ARGV[4] max_leased bound on jobs in flight
-- ARGV[5] max_dead   bound on dead letters, at which nothing more is leased
-- ARGV[6] project_id that a task of others must name
-- ARGV[7] default_attempts for tasks of others
-- ARGV[8] order      'relaxed' or 'strict', unless the owner set it
-- ARGV[9] request    '1' when the caller named its request, else ''
-- ARGV[10] wanted    1 to 10 jobs
-- ARGV[11] id        unused; with its number behind it, the id of a task of others
-- ARGV[12..] acks... three each: job, token, result as JSON or ''
-- Returns {{ending as of `ack`, …}, report of settle(), unreadable, nonce, token, next_due_ms or -1, weight, {job, …}}, a job being {id, attempt,
-- raw, operation, deadline_ms, created_ms}; {{…}} when all acks are stale; LATE, WRONGTYPE.
-- Cost: O(log n) per job; 18 commands and 6 for each job, with acks 24 and 7; one reply holds at most 1 MiB.
-- @include "prelude"
-- @include "./queue"
-- @include "./reap"
-- @include "./settle"
-- @include "./others"
-- @include "./leasing"
if late(now_ms) then return LATE end
if not survey() or not is_type(KEYS[14], 'hash') then return WRONGTYPE end
local settings, endings = read_settings(KEYS[12]), {}
if #ARGV > 11 then
  local first, last, oldest, refused = 12, #ARGV, call('ZRANGE', LEASES, '0', '0', 'WITHSCORES'), nil
-- @include "./end-look"
  if held_jobs == 0 then return { endings } end
-- @include "./end-write"
  if refused then return refused end
  survey()
end
local report = settle()

-- The same request once more: its reply was lost. What it still holds is the answer; if nothing, it leases afresh.
local nonce, token, jobs = 0, ARGV[2], {}
if ARGV[9] == '1' then
  nonce = call('HINCRBY', KEYS[14], 'nonce', 1)
  call('PEXPIRE', KEYS[14], ARGV[3] + 60000)
  local former, ids = unpack(call('HMGET', KEYS[14], 'token', 'ids'))
  for id in string.gmatch(ids or '', '[^,]+') do
    local j = job(id)
    if j and j.state == 'l' and j.token == former then
      token = former
      jobs[#jobs + 1] = { id, j.attempts, bytes_of(id, j), j.extra.operation or '', call('ZSCORE', LEASES, id), j.created }
    end
  end
end
if #jobs == 0 then
  jobs = take({
    token = token, lease_ms = tonumber(ARGV[3]), max_leased = tonumber(ARGV[4]), max_dead = tonumber(ARGV[5]),
    project_id = ARGV[6], attempts = tonumber(ARGV[7]), order = ARGV[8], hold = KEYS[13], wanted = tonumber(ARGV[10]), id = ARGV[11],
  }, settings)
  if ARGV[9] == '1' and #jobs > 0 then
    local ids = {}
    for i = 1, #jobs do ids[i] = jobs[i][1] end
    call('HSET', KEYS[14], 'token', token, 'ids', table.concat(ids, ','))
  end
end
close()
return { endings, report, unread, nonce, token, next_due(), settings.weight, jobs }
