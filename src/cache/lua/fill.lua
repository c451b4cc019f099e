#!lua
-- Stores a loaded value, if its lease still stands and nobody has invalidated, deleted or written the entry meanwhile.
-- Guarantee: a value that was loaded before a delete, an invalidation or a foreign write is never stored after it.
--
-- KEYS[1] epoch  proj:<p>:cache:epoch            string, `clean:<n>` or `dirty:<n>`
-- KEYS[2] fresh  proj:<p>:cache:fresh            HASH key, epoch in which it was written while dirty
-- KEYS[3] value  proj:<p>:doc:<d> or proj:<p>:entry:<type>:<id>  string
-- KEYS[4] meta   proj:<p>:cache:meta:<type>:<id>   string, `<fresh_until_ms> <load_ms> <crc32>`
-- KEYS[5] lease  proj:<p>:cache:lease:<type>:<id>  string, `<token> <epoch> <digest>`, ` w` when others wait
-- ARGV[1] not_after  ms, Redis time
-- ARGV[2] token      the lease's
-- ARGV[3] bytes      the value
-- ARGV[4] fresh_ms   ms after which it is stale
-- ARGV[5] keep_ms    ms for which it is kept, a grace time included
-- ARGV[6] load_ms    ms that the load took
-- ARGV[7] sum        checksum of the bytes
-- Returns {1, waited} when stored, {0, waited} when the late value is dropped, {-1} when the epoch is missing; waited is 1 when
-- others wait for the end of the load or may do so; LATE, WRONGTYPE.
-- Cost: O(size of the value), 12 commands.
-- @include "prelude"
-- @include "./load"
local now = redis_us() / 1000
if late(now) then return LATE end
if not sound() then return WRONGTYPE end
local epoch, dirty = epoch_now()
if not epoch then return { -1 } end
local mine, first, waited = undisturbed(ARGV[2], epoch)
if mine then redis.call('UNLINK', KEYS[5]) end
if not first then return { 0, waited } end

redis.call('SET', KEYS[3], ARGV[3], 'PX', ARGV[5])
redis.call('SET', KEYS[4], int(math.floor(now) + ARGV[4]) .. ' ' .. ARGV[6] .. ' ' .. ARGV[7], 'PX', ARGV[5])
if dirty then
  redis.call('HSET', KEYS[2], KEYS[3], dirty, KEYS[4], dirty)
  redis.call('EXPIRE', KEYS[2], 86400)
end
return { 1, waited }
