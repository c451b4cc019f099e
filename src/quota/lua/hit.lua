#!lua
-- Takes from the token buckets of several rate limits at once: from all of them or from none. What every request of the
-- API passes through, so it does nothing else.
-- Guarantee: a refusal takes nothing; an owner's policy holds from the next call on; an action without policy is no limit.
--
-- KEYS[1] settings     proj:<p>:config:limits                HASH rate:<action> -> policy
-- KEYS[2..] buckets... proj:<p>:ratelimit:<action>:<window>  string; <window> of the default policy
-- ARGV[1] not_after    ms, Redis time
-- ARGV[2..] rules...   for each bucket: rate:<action>, limit of the default policy (0: none), its window in s, cost
-- Returns {1 taken | 0 refused, then for each bucket its 5 figures (see report_bucket), all 0 without policy}, LATE, WRONGTYPE.
-- Cost: O(rules); a command and 3 for each rule.
-- @include "prelude"
-- @include "./bucket"
local now = redis_us()
if late(now / 1000) then return LATE end

local rules, fits = {}, true
for i = 1, #KEYS - 1 do
  local key, a = KEYS[i + 1], 4 * i - 2
  local limit, window, cost = tonumber(ARGV[a + 1]), tonumber(ARGV[a + 2]), tonumber(ARGV[a + 3])
  local stored = redis.call('HGET', KEYS[1], ARGV[a])
  if stored then
    limit, window = bucket_policy(stored)
    -- An owner's window may differ from the default one, which the caller knows.
    key = string.gsub(key, '%d+$', window)
  end
  if limit > 0 then
    local used, expires, stepped = drain(redis.call('GET', key), limit, window, now)
    fits = bucket_fits(used, limit, cost) and fits
    rules[i] = { key, limit, window, cost, used, expires, stepped }
  end
end

local reply = { fits and 1 or 0 }
for i = 1, #KEYS - 1 do
  if rules[i] then
    local key, limit, window, cost, used, expires, stepped = unpack(rules[i], 1, 7)
    if fits then used, cost = used + cost, 0 end
    -- A refusal writes only where the clock stepped back: or it would last until the clock has caught up.
    if fits or stepped then save_bucket(key, used, limit, window, now, expires) end
    report_bucket(reply, used, limit, window, cost)
  else
    for n = #reply + 1, #reply + 5 do reply[n] = 0 end
  end
end
return reply
