#!lua flags=allow-oom
-- Says for all waiters of one process in one project that they live, and hands over what has become free by itself: because
-- its holder died, or because whom it was handed to did not claim it.
--
-- KEYS[1] wake       proj:<p>:lock         channel
-- KEYS[2..] locks... proj:<p>:lock:<name>  string '<token> <fence>'; one for each waiter; its other keys are derived from it
-- ARGV[1] not_after  ms, Redis time
-- ARGV[2] waiters... token and place of each waiter, in turn
-- Returns for each waiter the ms for which the lock is held at most, negative when it was handed to this waiter; LATE, WRONGTYPE.
-- Cost: O(w log waiting) for w waiters, about 10 commands each.
-- @include "prelude"
-- @include "./waiting"
local now = redis_us()
local now_ms = math.floor(now / 1000)
if late(now / 1000) then return LATE end
for i = 2, #KEYS do
  -- Read before the first write: a key of another kind ends the script here.
  redis.call('GET', KEYS[i])
  redis.call('GET', KEYS[i] .. ':fence')
  waiting(KEYS[i] .. ':queue', KEYS[i] .. ':alive')
end

for i = 2, #KEYS do
  local lock, token = KEYS[i], ARGV[i * 2 - 2]
  if holder(redis.call('GET', lock)) ~= token then
    wait(lock .. ':queue', lock .. ':alive', token, ARGV[i * 2 - 1], now_ms)
  end
end

local left = {}
for i = 2, #KEYS do
  local lock, token = KEYS[i], ARGV[i * 2 - 2]
  if redis.call('EXISTS', lock) == 0 then
    hand_over(lock, lock .. ':fence', lock .. ':queue', lock .. ':alive', KEYS[1], now)
  end
  local rest = redis.call('PTTL', lock)
  left[#left + 1] = holder(redis.call('GET', lock)) == token and -rest or rest
end
return left
