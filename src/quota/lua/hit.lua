#!lua
-- Takes from the token buckets of several rate limits at once: from all of them or from none. What every request of the
-- API passes through, so it does nothing else.
-- Guarantee: a refusal takes nothing; an owner's policy holds from the next call on; an action without policy is no limit.
--
-- KEYS[1] settings     proj:<p>:config:limits                HASH rate:<action> -> policy
-- KEYS[2..] buckets... proj:<p>:ratelimit:<action>:<window>  string; <window> of the default policy
-- ARGV[1] not_after    ms, Redis time
-- ARGV[2..] rules...   for each bucket: rate:<action>, default policy or '-', cost
-- Returns {1 taken | 0 refused, report of each bucket...} (report: see report_bucket; {} without policy), LATE, WRONGTYPE.
-- Cost: O(rules); 2 commands and 2 for each rule.
-- @include "prelude"
-- @include "./bucket"
local now = redis_us()
if late(now / 1000) then return LATE end

local n, rules, fits = #KEYS - 1, {}, true
for i = 1, n do
  local stored = redis.call('HGET', KEYS[1], ARGV[3 * i - 1])
  local limit, window = bucket_policy(stored or ARGV[3 * i])
  if limit then
    local key = KEYS[i + 1]
    -- An owner's window may differ from the default one that the caller knows.
    if stored then key = string.gsub(key, '%d+$', window) end
    local used, stepped = drain(redis.call('GET', key), limit, window, now)
    local cost = tonumber(ARGV[3 * i + 1])
    fits = bucket_fits(used, limit, cost) and fits
    rules[i] = { key, limit, window, used, cost, stepped }
  end
end

local reply = { fits and 1 or 0 }
for i = 1, n do
  local out, rule = {}, rules[i]
  if rule then
    local key, limit, window, used, cost, stepped = unpack(rule)
    if fits then used = used + cost end
    -- A refusal writes only where the clock stepped back: or it would last until the clock has caught up.
    if fits or stepped then save_bucket(key, used, limit, window, now) end
    report_bucket(out, used, limit, window, fits and 0 or cost)
  end
  reply[i + 1] = out
end
return reply
