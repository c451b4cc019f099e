#!lua flags=allow-oom
-- Frees a lock for its holder and hands it to the first who waits; who waits itself leaves. A repetition with the same token
-- within 10 minutes answers the same.
--
-- KEYS[1] lock       proj:<p>:lock:<name>                  HASH token, fence
-- KEYS[2] released   proj:<p>:lock:<name>:released:<hash>  string
-- KEYS[3] fence      proj:<p>:lock:<name>:fence            string, the last fence granted
-- KEYS[4] queue      proj:<p>:lock:<name>:queue            ZSET waiter's token by arrival in us
-- KEYS[5] alive      proj:<p>:lock:<name>:alive            ZSET waiter's token by the ms until which it counts as alive
-- KEYS[6] wake       proj:<p>:lock                         channel
-- ARGV[1] not_after  ms, Redis time
-- ARGV[2] token      the holder's secret
-- Returns {1} when freed now or before by this token, {0} when the token is not the holder's, LATE, WRONGTYPE.
-- Cost: O(log waiting), about 12 commands; and the dead among those who wait, at most 1,000.
-- @include "prelude"
-- @include "./waiting"
local now = redis_us()
if late(now / 1000) then return LATE end
if not is_type(KEYS[1], 'hash') or not is_type(KEYS[2], 'string') or not is_type(KEYS[3], 'string')
  or not room_is_sound(KEYS[4], KEYS[5]) then
  return WRONGTYPE
end

if redis.call('HGET', KEYS[1], 'token') ~= ARGV[2] then
  leave(KEYS[4], KEYS[5], ARGV[2])
  return { redis.call('EXISTS', KEYS[2]) }
end
redis.call('SET', KEYS[2], '1', 'EX', 600)
redis.call('DEL', KEYS[1])
hand_over(KEYS[1], KEYS[3], KEYS[4], KEYS[5], KEYS[6], now)
return { 1 }
