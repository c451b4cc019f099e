#!lua flags=allow-oom
-- Leases up to n jobs: retries and expired leases first, by their original order, then the list from its head.
-- Guarantee: a job is leased to one token at a time; tasks that others pushed get a record here; what cannot be read goes
-- to the dead letters; the same request gets the same jobs again while it holds them; strict: one lease at a time.
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
-- KEYS[15] request   proj:<p>:queue:<q>:request:… HASH nonce, token, ids; TTL the lease's + 60 s
-- ARGV[1] not_after  ms, Redis time
-- ARGV[2] token      of this lease, never used before
-- ARGV[3] lease_ms   ms
-- ARGV[4] max_leased bound on jobs in flight
-- ARGV[5] max_dead   bound on dead letters, at which nothing more is leased
-- ARGV[6] project_id that a task of others must name
-- ARGV[7] default_attempts for tasks of others
-- ARGV[8] order      'relaxed' or 'strict', unless the owner set it
-- ARGV[9] request    '1' when the caller named its request, else ''
-- ARGV[10..] ids...  unused ids, one for each job that may be leased
-- Returns {report of settle(), next_due_ms, unreadable, weight, nonce, job…}, a job being {id, attempt, raw, operation, token,
-- deadline_ms, created_ms}.
-- Also LATE, WRONGTYPE.
-- Cost: O(log n) per job; 18 commands and 4 for each job; one reply holds at most 1 MiB.
-- @include "prelude"
-- @include "./queue"
-- @include "./reap"
-- @include "./settle"
-- @include "./leasing"
if late(now_ms) then return LATE end
if not survey() or not is_type(KEYS[15], 'hash') then return WRONGTYPE end
local settings = read_settings(KEYS[13])
local report = settle()

local function answer(jobs, nonce)
  close()
  local reply = { report, next_due(), unread, settings.weight, nonce }
  for _, line in ipairs(jobs) do reply[#reply + 1] = line end
  return reply
end

-- The same request once more: its reply was lost. What it still holds is the answer; if nothing, it leases afresh.
local nonce = 0
if ARGV[9] == '1' then
  nonce = call('HINCRBY', KEYS[15], 'nonce', 1)
  call('PEXPIRE', KEYS[15], tonumber(ARGV[3]) + 60000)
  local token, ids = unpack(call('HMGET', KEYS[15], 'token', 'ids'))
  local held = {}
  for id in string.gmatch(ids or '', '[^,]+') do
    local fields = job(id, 'token', 'attempts', 'operation', 'created_ms')
    if fields and fields[1] == 'leased' and fields[2] == token then
      held[#held + 1] = { id, fields[3], call('LINDEX', raw_key(id), 0), fields[4] or '', token, call('ZSCORE', LEASES, id), fields[5] }
    end
  end
  if #held > 0 then return answer(held, nonce) end
end

local jobs = take({
  token = ARGV[2], lease_ms = tonumber(ARGV[3]), max_leased = tonumber(ARGV[4]), max_dead = tonumber(ARGV[5]),
  project_id = ARGV[6], attempts = ARGV[7], order = ARGV[8], settings = settings, hold = KEYS[14], ids = 10,
})
if ARGV[9] == '1' and #jobs > 0 then
  local ids = {}
  for i, line in ipairs(jobs) do ids[i] = line[1] end
  call('HSET', KEYS[15], 'token', ARGV[2], 'ids', table.concat(ids, ','))
end
return answer(jobs, nonce)
