#!lua
-- Takes from the token buckets of several rate limits at once: from all of them or from none. What every request of the
-- API passes through, so it does nothing else, and takes the policies from its caller.
-- Guarantee: a refusal takes nothing; a dry rule refuses nothing, and is not taken from where it would have.
--
-- KEYS[1] settings     proj:<p>:config:limits  HASH rate:<action> -> policy
-- KEYS[2..] buckets... proj:<p>:ratelimit:<action>:<window>[:user:<user>]  string, no two alike
-- ARGV[1] not_after    ms, Redis time
-- ARGV[2] peek         1: only looks
-- ARGV[3] checks       number of policies to compare with the settings
-- ARGV[4..] rules...   `checks` times field and policy; then for each bucket limit, window in s, cost, dry (1 or 0)
-- Returns {1 fits | 0 refused, for each bucket 5 figures (see report_bucket)...}, {4, policy...} when another policy holds,
-- {5} when a bucket has moved, LATE, WRONGTYPE.
-- Cost: O(buckets); a command and 2 for each bucket, one more with checks.
-- @include "prelude"
-- @include "./bucket"
-- @include "./policies"
local now = redis_us()
if late(now / 1000) then return LATE end
local checks = tonumber(ARGV[3])
local other = changed(KEYS[1], 4, checks)
if other then return other end

local first, rules, fits = 2 * checks, {}, true
for i = 1, #KEYS - 1 do
  local a = first + 4 * i
  local limit, window, cost = tonumber(ARGV[a]), tonumber(ARGV[a + 1]), tonumber(ARGV[a + 2])
  local value = redis.call('GET', KEYS[i + 1])
  if value == MOVED then return { 5 } end
  local used, expires, stepped = drain(value, limit, window, now)
  local retry = bucket_retry(used, limit, window, cost)
  if retry > 0 and ARGV[a + 3] == '0' then fits = false end
  rules[i] = { limit, window, cost, used, retry, expires, stepped }
end

local reply, take = { fits and 1 or 0 }, fits and ARGV[2] == '0'
for i = 1, #KEYS - 1 do
  local limit, window, cost, used, retry, expires, stepped = unpack(rules[i], 1, 7)
  local takes = take and retry == 0
  if takes then used = used + cost end
  -- A refusal writes only where the clock stepped back: or it would last until the clock has caught up.
  if takes or stepped then save_bucket(KEYS[i + 1], used, limit, window, now, expires) end
  report_bucket(reply, used, limit, window, retry)
end
return reply
