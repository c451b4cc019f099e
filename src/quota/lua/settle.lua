#!lua flags=allow-oom
-- Ends a hold: commits the true amount, or releases it; in the windows of the reservation.
-- Guarantee: a commit overrules a release, and both overrule the expiry, also for a day afterwards; repeating either changes
-- nothing and answers the same. More than was held is charged too.
--
-- KEYS[1] settings     proj:<p>:config:limits  HASH quota:<resource> -> policy
-- KEYS[2] ledger       proj:<p>:quota:<resource>
-- KEYS[3] hold         proj:<p>:quota:<resource>:hold:<id>  HASH
-- KEYS[4] due          proj:<p>:quota:<resource>:due  ZSET id by expiry in ms
-- ARGV[1] not_after    ms, Redis time
-- ARGV[2] field        quota:<resource>
-- ARGV[3] default      default policy or '-'
-- ARGV[4] id           of the hold
-- ARGV[5] state        committed or released
-- ARGV[6] amount       to charge; 0 for a release
-- Returns {1, charged, overrun}, {0} when it was committed with another amount, {2} when holds are still to be settled: call
-- again, {3} when there is no such hold, LATE, WRONGTYPE.
-- Cost: O(due holds, at most 200); 13 commands.
-- @include "prelude"
-- @include "./bucket"
-- @include "./windows"
-- @include "./ledger"
-- @include "./holds"
local now = redis_us()
if late(now / 1000) then return LATE end

local base, state, amount = KEYS[2], ARGV[5], tonumber(ARGV[6])
local policy = redis.call('HGET', KEYS[1], ARGV[2]) or ARGV[3]
if not is_type(KEYS[3], 'hash') or not is_type(KEYS[4], 'zset') then return WRONGTYPE end
if settle_due(base, policy, now) then return { 2 } end
local hold = read_hold(base, ARGV[4])
if not hold then return { 3 } end

if hold.state == 'committed' then
  if state == 'committed' and hold.charged ~= amount then return { 0 } end
elseif hold.state ~= state then
  close_hold(base, policy, hold, state, amount, now)
end
return { 1, hold.charged, hold.overrun }
