#!lua flags=allow-oom
-- Frees a lock for its holder and tells those who wait. A repetition with the same token within 10 minutes answers the same.
--
-- KEYS[1] lock       proj:<p>:lock:<name>                  HASH token, fence
-- KEYS[2] released   proj:<p>:lock:<name>:released:<hash>  string
-- KEYS[3] free       proj:<p>:lock:<name>:free             channel
-- ARGV[1] not_after  ms, Redis time
-- ARGV[2] token      the holder's secret
-- Returns {1} when freed now or before by this token, {0} when the token is not the holder's, LATE, WRONGTYPE.
-- Cost: O(1), 5 commands.
-- @include "prelude"
if late(redis_us() / 1000) then return LATE end
if not is_type(KEYS[1], 'hash') or not is_type(KEYS[2], 'string') then return WRONGTYPE end

if redis.call('HGET', KEYS[1], 'token') == ARGV[2] then
  redis.call('SET', KEYS[2], '1', 'EX', 600)
  redis.call('DEL', KEYS[1])
  redis.call('PUBLISH', KEYS[3], '')
  return { 1 }
end
return { redis.call('EXISTS', KEYS[2]) }
