#!lua
-- Takes a lock that is free and that nobody waits for, or that was handed over to this token; else waits, when asked to.
-- Guarantee: at most one holder per key while the server keeps its data; those who wait get it in the order of arrival; each
-- grant has a greater fence than all before it.
--
-- KEYS[1] lock       proj:<p>:lock:<name>        string '<owner> <fence>'
-- KEYS[2] fence      proj:<p>:lock:<name>:fence  string, the last fence granted
-- KEYS[3] queue      proj:<p>:lock:<name>:queue  ZSET waiter's owner by arrival in us
-- ARGV[1] not_after  ms, Redis time
-- ARGV[2] owner      hash of the caller's token, which is its own for each grant
-- ARGV[3] ttl_ms     ms
-- ARGV[4] wait       1: wait for it when it is not to be had now
-- Returns {1, fence, expires_at_ms} when granted; {0, ttl_left_ms, place} when held, place being '' for who does not wait;
-- LATE, WRONGTYPE.
-- Cost: 6 commands for a free lock that nobody waits for; else O(log waiting), and the dead among those who wait, at most 1,000.
local call = redis.call
local time = call('TIME')
local now = time[1] * 1000000 + time[2]
if now > ARGV[1] * 1000 then return { err = 'LATE the call came after its deadline' } end
-- Read before the first write: a key of another kind ends the script here.
local held, last = call('GET', KEYS[1]), tonumber(call('GET', KEYS[2]) or 0) or 0
if not held and call('ZCARD', KEYS[3]) == 0 then
  -- As grant() below; before the functions, because a script makes them anew each time that it comes to them.
  local fence = last < now and now or last + 1
  local text = string.format('%.0f', fence)
  call('SET', KEYS[2], text, 'PX', 604800000)
  call('SET', KEYS[1], ARGV[2] .. ' ' .. text, 'PX', ARGV[3])
  return { 1, fence, math.floor(now / 1000) + ARGV[3] }
end

-- @include "prelude"
-- @include "./waiting"
local now_ms, room = math.floor(now / 1000), room_of(KEYS[1])
local function granted(fence)
  call('PEXPIRE', KEYS[1], ARGV[3])
  return { 1, tonumber(fence), now_ms + ARGV[3] }
end

local owner, fence = holder(held)
if not held then
  local order = call('ZSCORE', KEYS[3], ARGV[2])
  if order then wait(room, ARGV[2], order, now_ms) end
  owner, fence = hand_over(room, now)
  if not owner then owner, fence = ARGV[2], grant(room, ARGV[2], now, ARGV[3]) end
end
if owner == ARGV[2] then return granted(fence) end

local place = ''
if ARGV[4] == '1' then
  local newest = call('ZRANGE', KEYS[3], -1, -1, 'WITHSCORES')[2]
  place = int(math.max(now, (tonumber(newest) or 0) + 1))
  wait(room, ARGV[2], place, now_ms)
end
return { 0, call('PTTL', KEYS[1]), place }
