#!lua flags=allow-oom
-- Leases up to n jobs: retries and expired leases first, by their original order, then the list from its head.
-- Guarantee: a job is leased to one token at a time; tasks that others pushed get a record here; what cannot be read goes
-- to the dead letters; the same request gets the same jobs again while it holds them.
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
-- KEYS[10] wake      proj:<p>:queue:<q>:wake      channel
-- KEYS[11] purged    proj:<p>:queue:<q>:purged    string, moment of a purge that is under way (ms)
-- KEYS[12] settings  proj:<p>:config:queue:<q>    HASH paused
-- KEYS[13] request   proj:<p>:queue:<q>:request:… HASH nonce, token, ids; TTL the lease's + 60 s
-- ARGV[1] not_after  ms, Redis time
-- ARGV[2] token      of this lease, never used before
-- ARGV[3] lease_ms   ms
-- ARGV[4] max_leased bound on jobs in flight
-- ARGV[5] max_dead   bound on dead letters, at which nothing more is leased
-- ARGV[6] project_id that a task of others must name
-- ARGV[7] default_attempts for tasks of others
-- ARGV[8] request    '1' when the caller named its request, else ''
-- ARGV[9..] ids...   unused ids, one for each job that may be leased
-- Returns {report of settle(), next_due_ms, unreadable, nonce, job…}, a job being {id, attempt, raw, operation, token,
-- deadline_ms}.
-- Also LATE, WRONGTYPE.
-- Cost: O(log n) per job, 8 commands each; one reply holds at most 1 MiB.
-- @include "prelude"
-- @include "./queue"
local MAX_BYTES = 1048576
if late(now_ms) then return LATE end
if not types_ok() or not is_type(KEYS[12], 'hash') or not is_type(KEYS[13], 'hash') then return WRONGTYPE end
local report, unreadable = settle(), 0

local function answer(jobs, nonce)
  local reply = { report, next_due(), unreadable, nonce }
  for _, leased in ipairs(jobs) do reply[#reply + 1] = leased end
  return reply
end

local function described(id)
  local fields = job(id, 'attempts', 'raw', 'operation', 'token')
  return { id, fields[2], fields[3], fields[4] or '', fields[5], redis.call('ZSCORE', LEASES, id) }
end

-- The same request once more: its reply was lost. What it still holds is the answer; if nothing, it leases afresh.
local nonce = 0
if ARGV[8] == '1' then
  nonce = redis.call('HINCRBY', KEYS[13], 'nonce', 1)
  redis.call('PEXPIRE', KEYS[13], tonumber(ARGV[3]) + 60000)
  local token, ids = unpack(redis.call('HMGET', KEYS[13], 'token', 'ids'))
  local held = {}
  for id in string.gmatch(ids or '', '[^,]+') do
    local fields = job(id, 'token')
    if fields and fields[1] == 'leased' and fields[2] == token then held[#held + 1] = described(id) end
  end
  if #held > 0 then return answer(held, nonce) end
end

local free = tonumber(ARGV[4]) - redis.call('ZCARD', LEASES)
local wanted = math.min(#ARGV - 8, free)
if redis.call('HGET', KEYS[12], 'paused') or redis.call('ZCARD', DEAD) >= tonumber(ARGV[5]) then wanted = 0 end

local function readable(raw)
  if #raw == 0 or #raw > MAX_BYTES then return false end
  local ok, task = pcall(cjson.decode, raw)
  return ok and type(task) == 'table' and string.lower(tostring(task.project_id)) == ARGV[6]
end

-- Takes the head of the list. Returns its job, or nil when it was buried.
local function pop(spare)
  local raw = redis.call('LPOP', W)
  local sha = redis.sha1hex(raw)
  local found = redis.call('ZRANGEBYLEX', BYTES, '[' .. sha .. ':', '(' .. sha .. ';', 'LIMIT', 0, 1)[1]
  if found then
    local order, id = string.match(found, '^%x+:(%d+):(.+)$')
    redis.call('ZREM', BYTES, found)
    redis.call('ZREM', WAITING, id)
    mark_taken(redis.call('ZRANGEBYSCORE', WAITING, '-inf', '(' .. order, 'LIMIT', 0, TAKE))
    if job(id) then return id end
  end
  -- Of others, or ours without its record (a purge under way): the task is served all the same.
  redis.call('HSET', job_key(spare), 'state', 'waiting', 'raw', raw, 'attempts', 0, 'max', ARGV[7], 'order', tick(), 'foreign', 1,
    'created_ms', int(now_ms))
  redis.call('INCRBY', SIZE, #raw)
  if readable(raw) then return spare end
  bury(spare, 'unreadable: not JSON of this project, empty, or over 1 MiB')
  unreadable = unreadable + 1
  return nil
end

local jobs, bytes, deadline = {}, 0, int(now_ms + tonumber(ARGV[3]))
local used = 0
while #jobs < wanted and used < #ARGV - 8 do
  used = used + 1
  local retry = redis.call('ZRANGE', RETRY, 0, 0)[1]
  local size = retry and redis.call('HSTRLEN', job_key(retry), 'raw') or #(redis.call('LINDEX', W, 0) or '')
  if #jobs > 0 and bytes + size > MAX_BYTES then break end
  local id = retry
  if retry then
    redis.call('ZREM', RETRY, retry)
  elseif redis.call('LLEN', W) > 0 then
    id = pop(ARGV[8 + used])
  else
    break
  end
  if id and job(id) then
    bytes = bytes + size
    redis.call('HINCRBY', job_key(id), 'attempts', 1)
    redis.call('HSET', job_key(id), 'state', 'leased', 'token', ARGV[2])
    redis.call('ZADD', LEASES, deadline, id)
    jobs[#jobs + 1] = described(id)
  end
end

if ARGV[8] == '1' and #jobs > 0 then
  local ids = {}
  for i, leased in ipairs(jobs) do ids[i] = leased[1] end
  redis.call('HSET', KEYS[13], 'token', ARGV[2], 'ids', table.concat(ids, ','))
end
return answer(jobs, nonce)
