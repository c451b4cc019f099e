#!lua
-- Takes a lock that is free and that nobody waits for, or that was handed over to this token; else waits, when asked to.
-- Guarantee: at most one holder per key while the server keeps its data; those who wait get it in the order of arrival; each
-- grant has a greater fence than all before it.
--
-- KEYS[1] lock       proj:<p>:lock:<name>        string '<owner> <fence>', '*' before it while others wait
-- KEYS[2] fence      proj:<p>:lock:<name>:fence  string, the last fence granted, '*' before it while anyone waits
-- ARGV[1] not_after  ms, Redis time
-- ARGV[2] owner      hash of the caller's token, which is its own for each grant
-- ARGV[3] ttl_ms     ms
-- ARGV[4] wait       1: wait for it when it is not to be had now
-- Returns the fence, which is then also the Redis time in us, when granted at once; {1, fence, expires_at_ms} when granted
-- otherwise; {0, ttl_left_ms, place} when held, place being '' for who does not wait; LATE, WRONGTYPE.
-- Cost: 4 commands for a free lock that nobody waits for; else O(log waiting), and the dead among those who wait, at most 1,000.
local call = redis.call
local time = call('TIME')
local now = time[1] * 1000000 + time[2]
if now > ARGV[1] * 1000 then return { err = 'LATE the call came after its deadline' } end
local last = call('GET', KEYS[2])
if not last and call('ZCARD', KEYS[1] .. ':queue') == 0 then last = 0 end
last = tonumber(last)
-- A fence with a mark is no number. The clock is the floor of all fences; should it have stepped back, grant() below counts on.
if last and last < now then
  -- `now` in decimal: to put together what TIME said costs less than string.format.
  local fence = time[1] .. string.sub('00000' .. time[2], -6)
  -- Writes nothing and answers what it found when that is held, or of another kind.
  if not call('SET', KEYS[1], ARGV[2] .. ' ' .. fence, 'PX', ARGV[3], 'NX', 'GET') then
    call('SET', KEYS[2], fence, 'EX', '604800')
    return now
  end
end

-- Only here, because a script makes its functions anew each time that it comes to them.
-- @include "prelude"
-- @include "./waiting"
local now_ms, room = math.floor(now / 1000), room_of(KEYS[1])
local owner, fence = holder(room.held)
if not room.held then
  local order = call('ZSCORE', room.queue, ARGV[2])
  if order then wait(room, ARGV[2], order, now_ms) end
  owner, fence = hand_over(room, now)
  if not owner then owner, fence = ARGV[2], grant(room, ARGV[2], now, ARGV[3]) end
end
if owner == ARGV[2] then
  call('PEXPIRE', KEYS[1], ARGV[3])
  return { 1, tonumber(fence), now_ms + ARGV[3] }
end

local place = ''
if ARGV[4] == '1' then
  local newest = call('ZRANGE', room.queue, -1, -1, 'WITHSCORES')[2]
  place = int(math.max(now, (tonumber(newest) or 0) + 1))
  wait(room, ARGV[2], place, now_ms)
end
return { 0, left_of(room), place }
