#!lua flags=allow-oom
-- Removes versions of a deleted document that other programs wrote; those that the API wrote after the deletion stay.
--
-- KEYS[1] versions   proj:<p>:doc:<d>:versions     ZSET version by its expiry in ms
-- KEYS[2..] found... proj:<p>:doc:<d>:version:<v>  any
-- ARGV[1] not_after  ms, Redis time
-- ARGV[2] numbers... the version of each found key
-- Returns the number of keys removed; LATE, WRONGTYPE.
-- Cost: O(found), a batch of the caller's.
-- @include "prelude"
if late(redis_us() / 1000) then return LATE end
if not is_type(KEYS[1], 'zset') then return WRONGTYPE end

local removed = 0
for i = 2, #KEYS do
  if not redis.call('ZSCORE', KEYS[1], ARGV[i]) then removed = removed + redis.call('UNLINK', KEYS[i]) end
end
return removed
