#!lua flags=allow-oom
-- How many jobs are where, after bringing the queue up to date.
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
-- ARGV[1] not_after  ms, Redis time
-- Returns {report of settle(), waiting, leased, delayed, dead, bytes, oldest_ms or -1, paused 0|1}; LATE, WRONGTYPE.
-- Cost: O(1) but for what settle() moves (at most 140 jobs).
-- @include "prelude"
-- @include "./queue"
if late(now_ms) then return LATE end
if not types_ok() or not is_type(KEYS[12], 'hash') then return WRONGTYPE end
local report = settle()

local oldest = -1
for _, key in ipairs({ WAITING, RETRY }) do
  local head = redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')[2]
  if head then oldest = math.max(oldest, now_ms - math.floor(tonumber(head) / 1000)) end
end
return {
  report,
  redis.call('LLEN', W) + redis.call('ZCARD', RETRY),
  redis.call('ZCARD', LEASES),
  redis.call('ZCARD', DELAYED),
  redis.call('ZCARD', DEAD),
  redis.call('GET', SIZE) or '0',
  int(oldest),
  redis.call('HEXISTS', KEYS[12], 'paused'),
}
