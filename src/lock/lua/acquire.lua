#!lua
-- Takes a lock that is free and that nobody waits for, or that was handed over to this token; else waits, when asked to.
-- Guarantee: at most one holder per key while the server keeps its data; those who wait get it in the order of arrival; each
-- grant has a greater fence than all before it.
--
-- KEYS[1] lock       proj:<p>:lock:<name>        HASH token, fence
-- KEYS[2] fence      proj:<p>:lock:<name>:fence  string, the last fence granted
-- KEYS[3] queue      proj:<p>:lock:<name>:queue  ZSET waiter's token by arrival in us
-- KEYS[4] alive      proj:<p>:lock:<name>:alive  ZSET waiter's token by the ms until which it counts as alive
-- KEYS[5] wake       proj:<p>:lock               channel
-- ARGV[1] not_after  ms, Redis time
-- ARGV[2] token      the caller's secret, its own for each grant
-- ARGV[3] ttl_ms     ms
-- ARGV[4] wait       1: wait for it when it is not to be had now
-- Returns {1, fence, expires_at_ms} when granted; {0, ttl_left_ms, place} when held, place being '' for who does not wait;
-- LATE, WRONGTYPE.
-- Cost: O(log waiting), 8 commands when nobody waits; and the dead among those who wait, at most 1,000.
-- @include "prelude"
-- @include "./waiting"
local now = redis_us()
local now_ms = math.floor(now / 1000)
if late(now / 1000) then return LATE end
-- Read before the first write: a key of another kind ends the script here.
local held = redis.call('HMGET', KEYS[1], 'token', 'fence')
local last_fence = redis.call('GET', KEYS[2])
local others = waiting(KEYS[3], KEYS[4])

local function granted(fence)
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
  return { 1, fence, int(now_ms + tonumber(ARGV[3])) }
end

if held[1] == ARGV[2] then return granted(held[2]) end
if not held[1] then
  local first = false
  if others > 0 then
    local order = redis.call('ZSCORE', KEYS[3], ARGV[2])
    if order then wait(KEYS[3], KEYS[4], ARGV[2], order, now_ms) end
    first = hand_over(KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], now)
  end
  if first == ARGV[2] then return granted(redis.call('HGET', KEYS[1], 'fence')) end
  if not first then
    local fence = next_fence(KEYS[2], last_fence, now)
    redis.call('HSET', KEYS[1], 'token', ARGV[2], 'fence', fence)
    return granted(fence)
  end
end

local place = ''
if ARGV[4] == '1' then
  local last = redis.call('ZRANGE', KEYS[3], -1, -1, 'WITHSCORES')[2]
  place = int(math.max(now, (tonumber(last) or 0) + 1))
  wait(KEYS[3], KEYS[4], ARGV[2], place, now_ms)
end
return { 0, redis.call('PTTL', KEYS[1]), place }
