#!lua
-- Charges quotas and rate limits of a project together: all of them or none.
-- Guarantee: charged - overrun + held never exceeds a limit; a refusal changes no counter; the windows are those of Redis's
-- clock; an accepted answer is replayed to the same Idempotency-Key. A dry rule refuses nothing; its resource is counted all
-- the same, from its bucket alone nothing is taken where it would have refused.
--
-- KEYS[1] settings     proj:<p>:config:limits  HASH rate:<action> and quota:<resource> -> policy
-- KEYS[2] replay       proj:<p>:idempotency:quota.charge:<hash>  HASH
-- KEYS[3..] items...   proj:<p>:ratelimit:<action>:<window>[:user:<user>] or proj:<p>:quota:<resource>, no two alike
-- ARGV[1] not_after    ms, Redis time
-- ARGV[2] fingerprint  of the request, '' without Idempotency-Key
-- ARGV[3] peek         1: only looks
-- ARGV[4] checks       number of policies to compare with the settings
-- ARGV[5..] items...   `checks` times field and policy; then for each key its rules (see read_rules; those of a rate limit
--                      begin with an r and have no windows), amount, and the '<kind>=<count> ...' that make it up, or ''
-- Returns {1 fits | 0 refused, report of each key...}, {2} when holds are still to be settled: call again, {4, policy...} when
-- another policy holds, {5} when a bucket has moved, LATE, WRONGTYPE, REUSED.
-- Cost: O(keys + due holds, at most 200 a resource); a command and about 7 for each resource, 2 for each rate limit.
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
local checks = tonumber(ARGV[4])
local other = changed(KEYS[1], 5, checks)
if other then return other end
local replayed = replay(KEYS[2], ARGV[2])
if replayed then return replayed end

local items, fits, more = {}, true, false
for i = 1, #KEYS - 2 do
  local a, key = 2 + 2 * checks + 3 * i, KEYS[i + 2]
  local item = { key = key, amount = tonumber(ARGV[a + 1]), kinds = ARGV[a + 2] }
  local limit, window, dry = string.match(ARGV[a], '^r(%d+)/(%d+)/(%d)$')
  if limit then
    item.limit, item.window = tonumber(limit), tonumber(window)
    local value = redis.call('GET', key)
    if value == MOVED then return { 5 } end
    item.used, item.expires, item.stepped = drain(value, item.limit, item.window, now)
    item.retry = bucket_retry(item.used, item.limit, item.window, item.amount)
    if item.retry > 0 and dry == '0' then fits = false end
  else
    local rules = read_rules(ARGV[a])
    more = settle_due(key, rules, now) or more
    item.ledger = open_ledger(key, rules, math.floor(now / 1000000), now)
    local left = headroom(item.ledger)
    item.refused = left ~= nil and item.amount > left
    if item.refused and not rules.dry then fits = false end
  end
  items[i] = item
end
if more then return { 2 } end

local reply, take = { fits and 1 or 0 }, fits and ARGV[3] == '0'
for i = 1, #items do
  local item, out = items[i], {}
  if item.ledger then
    if take and item.amount > 0 then
      post(item.ledger, item.amount, 0, item.refused and 0 or item.amount, now, false, item.kinds)
    else
      mend_bucket(item.ledger, now)
    end
    out = report_ledger(item.ledger, item.refused and item.amount or 0, now)
  else
    local takes = take and item.retry == 0
    if takes then item.used = item.used + item.amount end
    if takes or item.stepped then save_bucket(item.key, item.used, item.limit, item.window, now, item.expires) end
    out[1] = 0
    report_bucket(out, item.used, item.limit, item.window, item.retry)
  end
  reply[i + 1] = out
end
return take and remember(KEYS[2], ARGV[2], reply) or reply
