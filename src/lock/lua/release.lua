#!lua flags=allow-oom
-- Frees a lock for its holder and hands it to the first who waits; who waits itself leaves. A repetition with the same token
-- within 10 minutes answers the same.
--
-- KEYS[1] lock       proj:<p>:lock:<name>                  string '<owner> <fence>'
-- KEYS[2] released   proj:<p>:lock:<name>:released:<hash>  string
-- KEYS[3] queue     proj:<p>:lock:<name>:queue            ZSET waiter's owner by arrival in us
-- ARGV[1] not_after  ms, Redis time
-- ARGV[2] owner      hash of the holder's token
-- Returns {1} when freed now or before by this token, {0} when the token is not the holder's, LATE, WRONGTYPE.
-- Cost: 5 commands when nobody waits; else O(log waiting), and the dead among those who wait, at most 1,000.
local call = redis.call
local time = call('TIME')
local now = time[1] * 1000000 + time[2]
if now > ARGV[1] * 1000 then return { err = 'LATE the call came after its deadline' } end
-- Read before the first write: a key of another kind ends the script here.
local held = call('GET', KEYS[1])
local others = call('ZCARD', KEYS[3])
local owner = ARGV[2]
local mine = held and string.sub(held, 1, #owner + 1) == owner .. ' '
if not mine and others == 0 then return { call('EXISTS', KEYS[2]) } end
if mine and others == 0 then
  call('SET', KEYS[2], '1', 'EX', 600)
  call('DEL', KEYS[1])
  return { 1 }
end

-- @include "prelude"
-- @include "./waiting"
local room = room_of(KEYS[1])
if not mine then
  leave(room, owner)
  return { call('EXISTS', KEYS[2]) }
end
call('SET', KEYS[2], '1', 'EX', 600)
call('DEL', KEYS[1])
hand_over(room, now)
return { 1 }
