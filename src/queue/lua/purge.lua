#!lua flags=allow-oom
-- Ends a queue at once: nothing of it is seen any more. The records follow in the background, and the mark after them.
--
-- KEYS[1] purged     proj:<p>:queue:<q>:purged    string, moment of the purge (ms)
-- KEYS[2..] rest...  the queue's other keys, whatever they hold
-- ARGV[1] not_after  ms, Redis time
-- Returns 1; LATE.
-- Cost: O(1), memory is freed in the background.
-- @include "prelude"
local now_ms = math.floor(redis_us() / 1000)
if late(now_ms) then return LATE end

redis.call('UNLINK', unpack(KEYS, 2))
redis.call('SET', KEYS[1], int(now_ms), 'EX', 34560000)
return 1
