#!lua flags=allow-oom
-- Gives a lease back without storing anything: the load failed, or Redis has no room for its value.
--
-- KEYS[1] epoch  proj:<p>:cache:epoch            string, `clean:<n>` or `dirty:<n>`
-- KEYS[2] fresh  proj:<p>:cache:fresh            HASH key, epoch in which it was written while dirty
-- KEYS[3] value  proj:<p>:doc:<d> or proj:<p>:entry:<type>:<id>  string
-- KEYS[4] meta   proj:<p>:cache:meta:<type>:<id>   string, `<fresh_until_ms> <load_ms> <crc32>`
-- KEYS[5] lease  proj:<p>:cache:lease:<type>:<id>  string, `<token> <epoch> <digest>`, ` w` when others wait
-- ARGV[1] not_after  ms, Redis time
-- ARGV[2] token      the lease's
-- Returns {1, waited} when nobody has invalidated, deleted or written the entry since the lease was given, else {0, waited};
-- waited is 1 when others wait for the end of the load or may do so; LATE, WRONGTYPE.
-- Cost: O(size of the value), 8 commands.
-- @include "prelude"
-- @include "./load"
if late(redis_us() / 1000) then return LATE end
if not sound() then return WRONGTYPE end
local mine, first, waited = undisturbed(ARGV[2], (epoch_now()))
if mine then redis.call('UNLINK', KEYS[5]) end
return { first and 1 or 0, waited }
