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
-- Cost: O(log waiting), 8 commands when nobody waits; and the dead among those who wait, at most 1,000.
-- @include "prelude"
-- @include "./waiting"
local now = redis_us()
if late(now / 1000) then return LATE end
-- Read before the first write: a key of another kind ends the script here.
local holder = redis.call('HGET', KEYS[1], 'token')
local released = redis.call('GET', KEYS[2])
redis.call('GET', KEYS[3])
local others = waiting(KEYS[4], KEYS[5])

if holder ~= ARGV[2] then
  if others > 0 then leave(KEYS[4], KEYS[5], ARGV[2]) end
  return { released and 1 or 0 }
end
redis.call('SET', KEYS[2], '1', 'EX', 600)
redis.call('DEL', KEYS[1])
if others > 0 then hand_over(KEYS[1], KEYS[3], KEYS[4], KEYS[5], KEYS[6], now) end
return { 1 }
