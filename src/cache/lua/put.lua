#!lua
-- Stores a document, and the same bytes as that version, if what is stored now is what the caller has seen (compare and set:
-- only the caller can read gzip and decide by version). What a pending sweep will remove counts as absent.
-- A document key of another kind counts as absent too, and is replaced.
--
-- KEYS[1] epoch     proj:<p>:cache:epoch            string, `clean:<n>` or `dirty:<n>`
-- KEYS[2] fresh     proj:<p>:cache:fresh            HASH key, epoch in which it was written while dirty
-- KEYS[3] doc       proj:<p>:doc:<d>                string
-- KEYS[4] version   proj:<p>:doc:<d>:version:<v>    string
-- KEYS[5] versions  proj:<p>:doc:<d>:versions       ZSET version by its expiry in ms
-- KEYS[6] meta      proj:<p>:cache:meta:doc:<d>      string, what a load noted of its bytes
-- KEYS[7] lease     proj:<p>:cache:lease:doc:<d>     string, a load that is under way
-- KEYS[8] guard     proj:<p>:cache:fence:<d>         string, the greatest fence that wrote the document
-- ARGV[1] not_after  ms, Redis time
-- ARGV[2] expected   bytes that the caller has seen, '' for none
-- ARGV[3] value      bytes to store
-- ARGV[4] number     the version
-- ARGV[5] ttl_ms     ms
-- ARGV[6] fence      the fence of the lock under which the caller writes, '' for none
-- Returns {1} when stored, {0, bytes} when other bytes ('' for none) are there, {-1} when the epoch is missing, {-2} when a
-- greater fence has written it; LATE, WRONGTYPE.
-- Cost: O(log versions), at most 24 commands. A document keeps its 1,000 longest-living versions.
-- @include "prelude"
local now = math.floor(redis_us() / 1000)
if late(now) then return LATE end
if not is_type(KEYS[1], 'string') or not is_type(KEYS[2], 'hash') or not is_type(KEYS[5], 'zset') then
  return WRONGTYPE
end
if not is_type(KEYS[8], 'string') then return WRONGTYPE end

local guard = tonumber(redis.call('GET', KEYS[8])) or 0
if ARGV[6] ~= '' and tonumber(ARGV[6]) < guard then return { -2 } end
local mark = redis.call('GET', KEYS[1])
if not mark then return { -1 } end
local dirty = string.match(mark, '^dirty:(%d+)$')

local current = ''
if redis.call('TYPE', KEYS[3]).ok == 'string' and not (dirty and redis.call('HGET', KEYS[2], KEYS[3]) ~= dirty) then
  current = redis.call('GET', KEYS[3])
end
if current ~= ARGV[2] then return { 0, current } end

if ARGV[6] ~= '' then redis.call('SET', KEYS[8], ARGV[6], 'EX', 604800) end
-- Whatever is being loaded is older than this.
redis.call('UNLINK', KEYS[6], KEYS[7])
redis.call('SET', KEYS[3], ARGV[3], 'PX', ARGV[5])
redis.call('SET', KEYS[4], ARGV[3], 'PX', ARGV[5])

redis.call('ZREMRANGEBYSCORE', KEYS[5], '-inf', now)
if redis.call('ZCARD', KEYS[5]) >= 1000 and not redis.call('ZSCORE', KEYS[5], ARGV[4]) then
  redis.call('UNLINK', KEYS[3] .. ':version:' .. redis.call('ZPOPMIN', KEYS[5])[1])
end
redis.call('ZADD', KEYS[5], now + ARGV[5], ARGV[4])
if redis.call('PTTL', KEYS[5]) < tonumber(ARGV[5]) then redis.call('PEXPIRE', KEYS[5], ARGV[5]) end

if dirty then
  redis.call('HSET', KEYS[2], KEYS[3], dirty, KEYS[4], dirty, KEYS[5], dirty)
  redis.call('EXPIRE', KEYS[2], 86400)
end
return { 1 }
