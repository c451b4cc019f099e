#!lua flags=allow-oom
-- Gives a leased job back as failed: it waits for its retry, or is dead when its attempts are used up.
-- A repetition with the same token answers the same; a stale token changes nothing.
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
-- ARGV[1] not_after  ms, Redis time
-- ARGV[2] id         job
-- ARGV[3] token      of the lease
-- ARGV[4] error      what went wrong
-- ARGV[5] retry_ms   ms until the retry, or '' for exponential backoff (1 s doubled each time, at most 5 minutes)
-- ARGV[6] jitter     factor on the backoff, 0.9 to 1.1
-- ARGV[7] dead       '1' to bury it whatever its attempts
-- Returns {state, operation} with state 'delayed', 'waiting', 'dead' or 'cancelled'; {'stale'}; LATE, WRONGTYPE.
-- Cost: O(log n), 12 commands.
-- @include "prelude"
-- @include "./queue"
if late(now_ms) then return LATE end
if not types_ok() then return WRONGTYPE end

local id, token = ARGV[2], ARGV[3]
local fields = job(id, 'token', 'settled', 'attempts', 'max', 'order', 'operation')
if not fields then return { 'stale' } end
if fields[3] == token then return { fields[1], '' } end
local deadline = tonumber(redis.call('ZSCORE', LEASES, id) or 0)
if fields[2] ~= token or deadline <= now_ms then return { 'stale' } end

redis.call('ZREM', LEASES, id)
redis.call('HDEL', job_key(id), 'token')
redis.call('HSET', job_key(id), 'settled', token)
local operation = fields[7] or ''
if fields[1] == 'cancelled' then
  finish(id, 'cancelled')
  return { 'cancelled', operation }
end
if ARGV[7] == '1' or tonumber(fields[4]) >= tonumber(fields[5]) then
  bury(id, ARGV[4])
  return { 'dead', operation }
end
redis.call('HSET', job_key(id), 'error', ARGV[4])
local wait = tonumber(ARGV[5]) or math.min(1000 * 2 ^ (tonumber(fields[4]) - 1), 300000) * tonumber(ARGV[6])
-- Who waits for jobs looks when there is one, or learns when there will be.
redis.call('PUBLISH', WAKE, '')
if wait <= 0 then
  to_retry(id, fields[6])
  return { 'waiting', operation }
end
redis.call('HSET', job_key(id), 'state', 'delayed')
redis.call('ZADD', DELAYED, int(now_ms + wait), id)
return { 'delayed', operation }
