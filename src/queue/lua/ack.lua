#!lua flags=allow-oom
-- Ends up to 100 leased jobs as done. A repetition with the same token answers the same; a stale token changes nothing.
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
-- ARGV[2..] acks...  three each: job, token, result as JSON or ''
-- Returns for each {state, operation} with state 'done' or 'cancelled', or {'stale'}; LATE, WRONGTYPE.
-- Cost: O(log n) per job, 7 commands each.
-- @include "prelude"
-- @include "./queue"
if late(now_ms) then return LATE end
if not types_ok() then return WRONGTYPE end

local reply = {}
for i = 2, #ARGV, 3 do
  local id, token, result = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local fields = job(id, 'token', 'settled', 'operation')
  if fields and fields[3] == token and (fields[1] == 'done' or fields[1] == 'cancelled') then
    reply[#reply + 1] = { fields[1], '' }
  elseif fields and fields[2] == token and redis.call('ZSCORE', LEASES, id) and tonumber(redis.call('ZSCORE', LEASES, id)) > now_ms then
    local state = fields[1] == 'cancelled' and 'cancelled' or 'done'
    redis.call('ZREM', LEASES, id)
    redis.call('HDEL', job_key(id), 'token')
    redis.call('HSET', job_key(id), 'settled', token)
    if result ~= '' and state == 'done' then redis.call('HSET', job_key(id), 'result', result) end
    finish(id, state)
    reply[#reply + 1] = { state, fields[4] or '' }
  else
    reply[#reply + 1] = { 'stale' }
  end
end
return reply
