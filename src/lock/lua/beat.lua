#!lua flags=allow-oom
-- Says for all waiters of one process in one project that they live, and hands over what has become free by itself: because
-- its holder died, or because whom it was handed to did not claim it.
--
-- KEYS[1..] locks... proj:<p>:lock:<name>  string '<owner> <fence>', '*' before it while others wait; one for each waiter; the
--   other keys are derived from it
-- ARGV[1] not_after  ms, Redis time
-- ARGV[2] waiters... owner and place of each waiter, in turn
-- Returns for each waiter the ms for which the lock is held at most, negative when it was handed to this waiter; LATE, WRONGTYPE.
-- Cost: O(w log waiting) for w waiters, about 10 commands each.
-- @include "prelude"
-- @include "./waiting"
local now = redis_us()
local now_ms = math.floor(now / 1000)
if late(now / 1000) then return LATE end
local rooms = {}
for i = 1, #KEYS do rooms[i] = room_of(KEYS[i]) end

for i, room in ipairs(rooms) do
  local owner = ARGV[i * 2]
  if holder(room.held) ~= owner then wait(room, owner, ARGV[i * 2 + 1], now_ms) end
end

local left = {}
for i, room in ipairs(rooms) do
  if redis.call('EXISTS', room.lock) == 0 then hand_over(room, now) end
  local rest = left_of(room)
  left[i] = holder(redis.call('GET', room.lock)) == ARGV[i * 2] and -rest or rest
end
return left
