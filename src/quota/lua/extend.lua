#!lua flags=allow-oom
-- Notes how much of a hold is used so far, and lets it live for its TTL again, a day at most since it was made.
-- Guarantee: what is used beyond the amount is held too, even over a limit: it is spent already. The answer then says stop, so
-- a caller that awaits each answer overshoots by what it used between two calls at most. Order and repetition do not matter.
--
-- KEYS[1] settings     proj:<p>:config:limits  HASH quota:<resource> -> policy
-- KEYS[2] ledger       proj:<p>:quota:<resource>
-- KEYS[3] hold         proj:<p>:quota:<resource>:hold:<id>  HASH
-- KEYS[4] due          proj:<p>:quota:<resource>:due  ZSET id by expiry in ms
-- ARGV[1] not_after    ms, Redis time
-- ARGV[2] id           of the hold
-- ARGV[3] used         so far, in all
-- ARGV[4] rules        of the resource (see read_rules)
-- ARGV[5] checks       number of policies to compare with the settings
-- ARGV[6..] policies... `checks` times field and policy
-- Returns {1 go on | 0 stop, amount that may still be used, -1 for no limit}, {2} when holds are still to be settled: call
-- again, {3} when there is no such hold, {4, policy} when another policy holds, LATE, WRONGTYPE.
-- Cost: O(due holds, at most 200); 12 commands, one more with checks.
-- @include "prelude"
-- @include "./policies"
-- @include "./bucket"
-- @include "./windows"
-- @include "./cells"
-- @include "./ledger"
-- @include "./holds"
local now = redis_us()
if late(now / 1000) then return LATE end

local other = changed(KEYS[1], 6, tonumber(ARGV[5]))
if other then return other end
local base, id, rules = KEYS[2], ARGV[2], read_rules(ARGV[4])
if not is_type(KEYS[3], 'hash') or not is_type(KEYS[4], 'zset') then return WRONGTYPE end
if settle_due(base, rules, now) then return { 2 } end
local hold = read_hold(base, id)
if not hold then return { 3 } end
if hold.state ~= 'open' then return { 0, 0 } end

-- The windows are those of the reservation: one that has ended may still be spent up to its limit by its holds.
local ledger = open_ledger(base, rules, math.floor(hold.at / 1000), now)
local reported = math.max(hold.reported, tonumber(ARGV[3]))
local grown = math.max(0, reported - hold.amount)
local left = headroom(ledger)
if grown > 0 then
  local known = weighs(ledger, hold)
  if known then ledger.open.sum = ledger.open.sum + grown end
  post(ledger, 0, grown, grown, now, true, nil, known and 0 or grown)
end
redis.call('HSET', KEYS[3], 'reported', reported, 'amount', hold.amount + grown,
  'covered', hold.covered + math.min(grown, left or grown))
local at = math.floor(now / 1000)
redis.call('ZADD', KEYS[4], math.min(at + hold.ttl_ms, hold.at + CORRECTABLE_MS), id)
if not left or rules.dry then return { 1, -1 } end
local rest = math.max(0, hold.amount - reported) + math.max(0, left - grown)
return { rest > 0 and 1 or 0, rest }
