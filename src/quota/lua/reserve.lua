#!lua
-- Holds an amount of a resource in all its windows and its bucket, until it is committed, released or expires.
-- Guarantee: as charge.lua; a hold that nobody ends is ended by its expiry policy when anyone next asks for the resource.
--
-- KEYS[1] settings     proj:<p>:config:limits  HASH quota:<resource> -> policy
-- KEYS[2] replay       proj:<p>:idempotency:quota.reserve:<hash>  HASH
-- KEYS[3] ledger       proj:<p>:quota:<resource>
-- KEYS[4] hold         proj:<p>:quota:<resource>:hold:<id>  HASH
-- KEYS[5] due          proj:<p>:quota:<resource>:due  ZSET id by expiry in ms
-- ARGV[1] not_after    ms, Redis time
-- ARGV[2] fingerprint  of the request, '' without Idempotency-Key
-- ARGV[3] id           of the hold, never used before
-- ARGV[4] amount       to hold
-- ARGV[5] ttl_ms       ms until it expires, unless its use is reported
-- ARGV[6] on_expiry    charge_reported, charge or refund
-- ARGV[7] rules        of the resource (see read_rules)
-- ARGV[8] checks       number of policies to compare with the settings
-- ARGV[9..] policies... `checks` times field and policy
-- Returns {1, id, amount, expires_at_ms}, {0, report} when refused, {2} when holds are still to be settled: call again,
-- {4, policy} when another policy holds, LATE, WRONGTYPE, REUSED.
-- Cost: O(due holds, at most 200); 13 commands, one more with checks.
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
local replayed = replay(KEYS[2], ARGV[2])
if replayed then return replayed end

local base, id, amount, rules = KEYS[3], ARGV[3], tonumber(ARGV[4]), read_rules(ARGV[7])
if not is_type(KEYS[4], 'hash') then return WRONGTYPE end
if settle_due(base, rules, now) then return { 2 } end
local ledger = open_ledger(base, rules, math.floor(now / 1000000), now)
local left = headroom(ledger)
local refused = left and amount > left
if refused and not rules.dry then
  mend_bucket(ledger, now)
  return { 0, report_ledger(ledger, amount, now) }
end

local mark, taken = '', refused and 0 or amount
if rules.limit and not refused then
  ledger.open = ledger.open or { name = string.format('%-8.8s', id), without = ledger.level, sum = 0 }
  ledger.open.sum, mark = ledger.open.sum + amount, ledger.open.name
end
post(ledger, 0, amount, taken, now, true, nil, 0)
local at = math.floor(now / 1000)
local expires = at + tonumber(ARGV[5])
-- Nobody may ask for longer than the hold lives: its record stays as long as the cells in which it is to be settled.
local keep = window_end(4, ledger.starts[4]) + PINNED_SECONDS
redis.call('HSET', KEYS[4], 'state', 'open', 'amount', amount, 'covered', amount, 'reported', 0, 'charged', 0, 'overrun', 0,
  'on_expiry', ARGV[6], 'at', at, 'ttl_ms', ARGV[5], 'mark', mark)
redis.call('EXPIREAT', KEYS[4], keep)
redis.call('ZADD', KEYS[5], expires, id)
redis.call('EXPIREAT', KEYS[5], keep)
return remember(KEYS[2], ARGV[2], { 1, id, amount, expires })
