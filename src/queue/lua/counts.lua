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
-- KEYS[10] history   proj:<p>:queue:<q>:history   LIST, jobs that are over, oldest first; TTL 1 h
-- KEYS[11] wake      proj:<p>:queue:<q>:wake      channel
-- KEYS[12] purged    proj:<p>:queue:<q>:purged    string, moment of a purge that is under way (ms)
-- KEYS[13] settings  proj:<p>:config:queue:<q>    HASH paused, order, weight
-- ARGV[1] not_after  ms, Redis time
-- Returns {report of settle(), waiting, leased, delayed, dead, bytes, oldest_ms or -1, paused 0|1, order or '',
-- weight}; LATE, WRONGTYPE.
-- Cost: O(1) but for what settle() moves (at most 140 jobs).
-- @include "prelude"
-- @include "./queue"
-- @include "./reap"
-- @include "./settle"
if late(now_ms) then return LATE end
if not survey() then return WRONGTYPE end
local settings = call('HMGET', KEYS[13], 'paused', 'order', 'weight')
local report = settle()
close()

local oldest = -1
for _, key in ipairs({ WAITING, RETRY }) do
  local head = call('ZRANGE', key, 0, 0, 'WITHSCORES')[2]
  if head then oldest = math.max(oldest, now_ms - math.floor(tonumber(head) / 1000)) end
end
return {
  report,
  n.list + n.retry,
  n.leases,
  n.delayed,
  n.dead,
  call('GET', SIZE) or '0',
  int(oldest),
  settings[1] and 1 or 0,
  settings[2] or '',
  settings[3] or '1',
}
