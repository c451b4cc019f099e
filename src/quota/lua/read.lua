#!lua flags=allow-oom
-- Reads resources, after all their due holds have ended: no answer shows a hold that has expired.
--
-- KEYS[1] settings     proj:<p>:config:limits  HASH quota:<resource> -> policy
-- KEYS[2..] items...   proj:<p>:quota:<resource>
-- ARGV[1] not_after    ms, Redis time
-- ARGV[2..] items...   for each key: quota:<resource>, default policy or '-'
-- Returns {1, report of each item...}, {2} when holds are still to be settled: call again, {3, i} when item i has no policy,
-- LATE, WRONGTYPE.
-- Cost: O(items + due holds, at most 200 an item); 2 commands and 2 to 6 for each resource.
-- @include "prelude"
-- @include "./bucket"
-- @include "./windows"
-- @include "./ledger"
-- @include "./holds"
local now = redis_us()
if late(now / 1000) then return LATE end

local n, fields = #KEYS - 1, {}
for i = 1, n do fields[i] = ARGV[2 * i] end
local stored = redis.call('HMGET', KEYS[1], unpack(fields))
local reply, more = { 1 }, false
for i = 1, n do
  local policy = stored[i] or ARGV[2 * i + 1]
  if policy == '-' then return { 3, i } end
  more = settle_due(KEYS[i + 1], policy, now) or more
  local ledger = open_ledger(KEYS[i + 1], policy, math.floor(now / 1000000), now)
  reply[i + 1] = report_ledger(ledger, 0, now)
end
return more and { 2 } or reply
