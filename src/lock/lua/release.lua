#!lua flags=allow-oom
-- Frees a lock for its holder and hands it to the first who waits; who waits itself leaves. A repetition with the same token
-- within 10 minutes answers the same.
--
-- KEYS[1] lock       proj:<p>:lock:<name>                  string '<owner> <fence>', '*' before it while others wait
-- KEYS[2] released   proj:<p>:lock:<name>:released:<hash>  string
-- ARGV[1] not_after  ms, Redis time
-- ARGV[2] owner      hash of the holder's token
-- Returns 1 when freed now or before by this token, 0 when the token is not the holder's, LATE, WRONGTYPE.
-- Cost: 4 commands when nobody waits; else O(log waiting), and the dead among those who wait, at most 1,000.
local call = redis.call
local time = call('TIME')
local now = time[1] * 1000000 + time[2]
if now > ARGV[1] * 1000 then return { err = 'LATE the call came after its deadline' } end
-- Read before the first write: a key of another kind ends the script here.
local held, owner = call('GET', KEYS[1]), ARGV[2]
-- The owner, a blank, and a fence of 16 digits, which it has until 2286; any other is looked at below.
if held and string.sub(held, 1, -18) == owner then
  call('SET', KEYS[2], '1', 'EX', '600')
  call('DEL', KEYS[1])
  return 1
end

-- Only here, because a script makes its functions anew each time that it comes to them.
-- @include "prelude"
-- @include "./waiting"
local room = room_of(KEYS[1])
if holder(held) ~= owner then
  leave(room, owner)
  return call('EXISTS', KEYS[2])
end
call('SET', KEYS[2], '1', 'EX', '600')
call('DEL', KEYS[1])
hand_over(room, now)
return 1
