#!lua flags=allow-oom
-- Reads resources, after all their due holds have ended: no answer shows a hold that has expired.
--
-- KEYS[1] settings     proj:<p>:config:limits  HASH quota:<resource> -> policy
-- KEYS[2..] items...   proj:<p>:quota:<resource>
-- ARGV[1] not_after    ms, Redis time
-- ARGV[2] checks       number of policies to compare with the settings
-- ARGV[3..] items...   `checks` times field and policy; then for each key its rules (see read_rules) and the amount to look for
-- Returns {1 each amount fits | 0, report of each item...}, {2} when holds are still to be settled: call again, {4, policy...}
-- when another policy holds, LATE, WRONGTYPE.
-- Cost: O(items + due holds, at most 200 an item); 1 command and 2 to 7 for each resource, one more with checks.
-- @include "prelude"
-- @include "./policies"
-- @include "./bucket"
-- @include "./windows"
-- @include "./cells"
-- @include "./ledger"
-- @include "./holds"
local now = redis_us()
if late(now / 1000) then return LATE end
local checks = tonumber(ARGV[2])
local other = changed(KEYS[1], 3, checks)
if other then return other end

local reply, more = { 1 }, false
for i = 1, #KEYS - 1 do
  local a = 1 + 2 * checks + 2 * i
  local base, rules, amount = KEYS[i + 1], read_rules(ARGV[a]), tonumber(ARGV[a + 1])
  more = settle_due(base, rules, now) or more
  local ledger = open_ledger(base, rules, math.floor(now / 1000000), now)
  if not ledger_fits(ledger, amount) then reply[1] = 0 end
  reply[i + 1] = report_ledger(ledger, amount, now)
end
return more and { 2 } or reply
