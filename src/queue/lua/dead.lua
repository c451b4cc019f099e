#!lua flags=no-writes
-- A page of the dead letters, oldest first.
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
-- ARGV[1] after      moment (us) of the last one seen, or -inf
-- ARGV[2] limit      1 to 100
-- Returns for each {id, moment_us, attempts, error, raw}.
-- Cost: O(log n + limit).
-- @include "prelude"
-- @include "./queue"
local reply = {}
local page = redis.call('ZRANGEBYSCORE', DEAD, '(' .. ARGV[1], '+inf', 'WITHSCORES', 'LIMIT', 0, ARGV[2])
for i = 1, #page, 2 do
  local fields = job(page[i], 'attempts', 'error', 'raw')
  if fields then reply[#reply + 1] = { page[i], page[i + 1], fields[2], fields[3] or '', fields[4] or '' } end
end
return reply
