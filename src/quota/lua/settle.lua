#!lua flags=allow-oom
-- Ends a hold: commits the true amount, or releases it; in the windows of the reservation.
-- Guarantee: a commit overrules a release, and both overrule the expiry, also for a day afterwards; repeating either changes
-- nothing and answers the same. More than was held is charged too.
--
-- KEYS[1] settings     proj:<p>:config:limits  HASH quota:<resource> -> policy
-- KEYS[2] ledger       proj:<p>:quota:<resource>
-- KEYS[3] hold         proj:<p>:quota:<resource>:hold:<id>  HASH
-- KEYS[4] due          proj:<p>:quota:<resource>:due  ZSET id by expiry in ms
-- KEYS[5] replay       proj:<p>:idempotency:quota.commit:<hash>  HASH
-- ARGV[1] not_after    ms, Redis time
-- ARGV[2] fingerprint  of the request, '' without Idempotency-Key
-- ARGV[3] id           of the hold
-- ARGV[4] state        committed or released
-- ARGV[5] amount       to charge; 0 for a release
-- ARGV[6] kinds        '<kind>=<count> ...' that make up the amount, or ''
-- ARGV[7] rules        of the resource (see read_rules)
-- ARGV[8] checks       number of policies to compare with the settings
-- ARGV[9..] policies... `checks` times field and policy
-- Returns {1, charged, overrun}, {0} when it was committed with another amount, {2} when holds are still to be settled: call
-- again, {3} when there is no such hold, {4, policy} when another policy holds, LATE, WRONGTYPE, REUSED.
-- Cost: O(due holds, at most 200); 12 commands, one more with checks.
-- @include "prelude"
-- @include "idempotency"
-- @include "./policies"
-- @include "./bucket"
-- @include "./windows"
-- @include "./cells"
-- @include "./ledger"
-- @include "./holds"
local now = redis_us()
if late(now / 1000) then return LATE end
local other = changed(KEYS[1], 9, tonumber(ARGV[8]))
if other then return other end
local replayed = replay(KEYS[5], ARGV[2])
if replayed then return replayed end

local base, state, amount, rules = KEYS[2], ARGV[4], tonumber(ARGV[5]), read_rules(ARGV[7])
if not is_type(KEYS[3], 'hash') or not is_type(KEYS[4], 'zset') then return WRONGTYPE end
if settle_due(base, rules, now) then return { 2 } end
local hold = read_hold(base, ARGV[3])
if not hold then return { 3 } end

if hold.state == 'committed' then
  if state == 'committed' and hold.charged ~= amount then return { 0 } end
elseif hold.state ~= state then
  close_hold(base, rules, hold, state, amount, now, ARGV[6])
end
return remember(KEYS[5], ARGV[2], { 1, hold.charged, hold.overrun })
