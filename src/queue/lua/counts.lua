#!lua flags=allow-oom
-- How many jobs are where, after bringing the queue up to date.
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
local settings = call('HMGET', KEYS[12], 'paused', 'order', 'weight')
local report = settle()
close()

local retry, first = call('ZRANGE', RETRY, 0, 0, 'WITHSCORES')[2], call('LINDEX', WAITING, 0)
local j = first and job(string.sub(first, 41))
local since = math.min(tonumber(retry or 'inf'), j and j.order or 1 / 0)
return {
  report,
  n.list + n.retry,
  n.leases,
  n.delayed,
  n.dead,
  call('GET', SIZE) or '0',
  since < 1 / 0 and math.max(now_ms - math.floor(since / 1000), 0) or -1,
  settings[1] and 1 or 0,
  settings[2] or '',
  settings[3] or '1',
}
