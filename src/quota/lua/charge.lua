#!lua
-- Charges quotas and rate limits of a project together: all of them or none.
-- Guarantee: charged - overrun + held never exceeds a limit; a refusal changes no counter; the windows are those of Redis's
-- clock; an accepted answer is replayed to the same Idempotency-Key.
--
-- KEYS[1] settings     proj:<p>:config:limits  HASH rate:<action> and quota:<resource> -> policy
-- KEYS[2] replay       proj:<p>:idempotency:quota.charge:<hash>  HASH
-- KEYS[3..] items...   proj:<p>:ratelimit:<action>:<window> or proj:<p>:quota:<resource>, no two alike
-- ARGV[1] not_after    ms, Redis time
-- ARGV[2] fingerprint  of the request, '' without Idempotency-Key
-- ARGV[3..] items...   for each key: rate:<action> or quota:<resource>, default policy or '-', amount
-- Returns {1 charged | 0 refused, report of each item...}, {2} when holds are still to be settled: call again,
-- {3, i} when item i has no policy, LATE, WRONGTYPE, REUSED.
-- Cost: O(items + due holds, at most 200 an item); 3 commands and about 8 for each resource, 2 for each action.
-- @include "prelude"
-- @include "idempotency"
-- @include "./bucket"
-- @include "./windows"
-- @include "./ledger"
-- @include "./holds"
local now = redis_us()
if late(now / 1000) then return LATE end
local replayed = replay(KEYS[2], ARGV[2])
if replayed then return replayed end

local n, fields, items = #KEYS - 2, {}, {}
for i = 1, n do fields[i] = ARGV[3 * i] end
local stored = redis.call('HMGET', KEYS[1], unpack(fields))
for i = 1, n do
  local policy = stored[i] or ARGV[3 * i + 1]
  if policy == '-' then return { 3, i } end
  items[i] = { key = KEYS[i + 2], policy = policy, amount = tonumber(ARGV[3 * i + 2]) }
end

local fits, more = true, false
for i = 1, n do
  local item = items[i]
  if string.sub(fields[i], 1, 5) == 'rate:' then
    item.limit, item.window = bucket_policy(item.policy)
    if stored[i] then item.key = string.gsub(item.key, '%d+$', item.window) end
    item.used, item.expires, item.stepped = drain(redis.call('GET', item.key), item.limit, item.window, now)
    fits = bucket_fits(item.used, item.limit, item.amount) and fits
  else
    more = settle_due(item.key, item.policy, now) or more
    item.ledger = open_ledger(item.key, item.policy, math.floor(now / 1000000), now)
    fits = ledger_fits(item.ledger, item.amount) and fits
  end
end
if not fits and more then return { 2 } end

local reply = { fits and 1 or 0 }
for i = 1, n do
  local item, out = items[i], {}
  local asked = fits and 0 or item.amount
  if item.ledger then
    if fits and item.amount > 0 then
      post(item.ledger, item.amount, 0, item.amount, now)
    else
      mend_bucket(item.ledger, now)
    end
    out = report_ledger(item.ledger, asked, now)
  else
    if fits then item.used = item.used + item.amount end
    if fits or item.stepped then save_bucket(item.key, item.used, item.limit, item.window, now, item.expires) end
    out[1] = 0
    report_bucket(out, item.used, item.limit, item.window, asked)
  end
  reply[i + 1] = out
end
return fits and remember(KEYS[2], ARGV[2], reply) or reply
