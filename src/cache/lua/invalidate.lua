#!lua flags=allow-oom
-- Begins a new epoch of a project's cache: whatever was written before it is no longer to be shown. O(1), however much that is.
-- Guarantee: the number only grows, also when the key was lost, unless the clock stepped back meanwhile (then `floor` helps).
--
-- KEYS[1] epoch      proj:<p>:cache:epoch  string, `clean:<n>` or `dirty:<n>`
-- ARGV[1] not_after  ms, Redis time
-- ARGV[2] floor      the number must be greater than this
-- Returns the new mark, `dirty:<n>`; LATE, WRONGTYPE.
-- Cost: O(1), 4 commands.
-- @include "prelude"
local now = redis_us()
if late(now / 1000) then return LATE end
if not is_type(KEYS[1], 'string') then return WRONGTYPE end

local last = tonumber(string.match(redis.call('GET', KEYS[1]) or '', ':(%d+)$')) or 0
local mark = 'dirty:' .. int(math.max(last + 1, tonumber(ARGV[2]) + 1, now))
-- Longer than any document may live: were the mark lost while dirty, what was invalidated would come back.
redis.call('SET', KEYS[1], mark, 'EX', 34560000)
return mark
