#!lua flags=allow-oom
-- Removes a batch of keys that an invalidation has made invisible. What the API wrote since then stays.
--
-- KEYS[1] epoch      proj:<p>:cache:epoch  string, `clean:<n>` or `dirty:<n>`
-- KEYS[2] fresh      proj:<p>:cache:fresh  HASH key, epoch in which it was written while dirty
-- KEYS[3..] found... proj:<p>:doc:…        any: documents, versions, lists of versions
-- ARGV[1] not_after  ms, Redis time
-- ARGV[2] epoch      the number of the epoch that is being swept
-- Returns the number of keys removed, -1 when the project is no longer dirty with that epoch; LATE, WRONGTYPE.
-- Cost: O(found), a batch of the caller's.
-- @include "prelude"
if late(redis_us() / 1000) then return LATE end
if not is_type(KEYS[1], 'string') or not is_type(KEYS[2], 'hash') then return WRONGTYPE end
if redis.call('GET', KEYS[1]) ~= 'dirty:' .. ARGV[2] then return -1 end

local removed = 0
for i = 3, #KEYS do
  if redis.call('HGET', KEYS[2], KEYS[i]) ~= ARGV[2] then removed = removed + redis.call('UNLINK', KEYS[i]) end
end
return removed
