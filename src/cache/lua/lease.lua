#!lua
-- Asks to be the one who loads an entry.
-- Guarantee: one lease at a time for an entry and an epoch; an invalidation frees it at once.
--
-- KEYS[1] epoch  proj:<p>:cache:epoch            string, `clean:<n>` or `dirty:<n>`
-- KEYS[2] fresh  proj:<p>:cache:fresh            HASH key, epoch in which it was written while dirty
-- KEYS[3] value  proj:<p>:doc:<d> or proj:<p>:entry:<type>:<id>  string
-- KEYS[4] meta   proj:<p>:cache:meta:<type>:<id>   string, `<fresh_until_ms> <load_ms> <crc32>`
-- KEYS[5] lease  proj:<p>:cache:lease:<type>:<id>  string, `<token> <epoch> <digest>`, ` w` when others wait
-- ARGV[1] not_after  ms, Redis time
-- ARGV[2] token      the caller's, its own for each load
-- ARGV[3] lease_ms   ms
-- ARGV[4] seen       digest of the value and its meta that the caller wants to replace, '' for none
-- Returns {1} when granted, {0, left_ms} when another loads, who will learn that somebody waits, {2} when something else stands there than the caller has seen,
-- {-1} when the epoch is missing; LATE, WRONGTYPE.
-- Cost: O(size of the value), 10 commands.
-- @include "prelude"
-- @include "./load"
if late(redis_us() / 1000) then return LATE end
if not sound() then return WRONGTYPE end
local epoch, dirty = epoch_now()
if not epoch then return { -1 } end

local hidden = dirty and redis.call('HGET', KEYS[2], KEYS[3]) ~= dirty
local digest = hidden and '' or standing()
if digest ~= '' and digest ~= ARGV[4] then return { 2 } end
local held = redis.call('GET', KEYS[5]) or ''
local of_epoch, waited = string.match(held, '^%S+ (%d+) %x*( ?w?)$')
if of_epoch == epoch then
  if waited == '' then redis.call('SET', KEYS[5], held .. ' w', 'KEEPTTL') end
  return { 0, redis.call('PTTL', KEYS[5]) }
end
-- What an invalidation hides goes now: whatever stands there at the end of the load was then written during it.
if hidden then redis.call('UNLINK', KEYS[3]) end
redis.call('SET', KEYS[5], ARGV[2] .. ' ' .. epoch .. ' ' .. digest, 'PX', ARGV[3])
return { 1 }
