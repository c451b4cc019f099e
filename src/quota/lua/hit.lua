#!lua
-- Takes from the token buckets of several rate limits at once: from all of them or from none. What every request of the
-- API passes through: it does nothing else, takes the policies from its caller, and does what include/bucket.lua does in
-- place, because on this path each function costs a tenth of the script.
-- Guarantee: a refusal takes nothing; a dry rule refuses nothing, and is not taken from where it would have.
--
-- KEYS[1] settings     proj:<p>:config:limits  HASH rate:<action> -> policy
-- KEYS[2..] buckets... proj:<p>:ratelimit:<action>:<window>[:user:<user>]  string, no two alike
-- ARGV[1] not_after    ms, Redis time
-- ARGV[2] peek         1: only looks
-- ARGV[3] checks       number of policies to compare with the settings
-- ARGV[4] dry          1 or 0 for each bucket, '' when none is dry
-- ARGV[5..] rules...   `checks` times field and policy; then for each bucket limit, window in s, cost
-- Returns {1 fits | 0 refused, for each bucket remaining, ms until full, ms until the cost fits...},
-- {4, policy...} when another policy holds, {5} when a bucket has moved, LATE, WRONGTYPE.
-- Cost: O(buckets); TIME, a command for each bucket and one more for each that is taken from, one with checks.
-- @include "./policies"
local call = redis.call
local time = call('TIME')
local now = time[1] * 1000000 + time[2]
if now > ARGV[1] * 1000 then return { err = 'LATE the call came after its deadline' } end
local checks = tonumber(ARGV[3])
local other = checks > 0 and changed(KEYS[1], 5, checks)
if other then return other end

local n, first, dry, fits = #KEYS - 1, 2 + 2 * checks, ARGV[4], true
local levels, kept, reply, stepped = {}, {}, { 1 }, nil
for i = 1, n do
  local a = first + 3 * i
  local limit, window, cost = ARGV[a] + 0, ARGV[a + 1] * 1000, ARGV[a + 2] + 0
  local value = call('GET', KEYS[i + 1])
  local level, retry = 0, 0
  if value then
    if value == 'moved' then return { 5 } end
    if #value ~= 24 then return { err = 'WRONGTYPE a key holds a value of another kind' } end
    local at
    level, at, kept[i] = struct.unpack('<ddd', value)
    if now < at then
      stepped = stepped or {}
      stepped[i] = true
    else
      level = level - (now - at) * limit / (window * 1000)
      if level < 0 then level = 0 end
    end
  end
  if cost > limit - level and cost > 0 then
    retry = cost > limit and 86400000 or math.max(1, math.ceil((level + cost - limit) * window / limit - 1e-6))
    if string.byte(dry, i) ~= 49 then fits = false end
  end
  levels[i], reply[3 * i + 1] = level, retry
end

local take = fits and ARGV[2] == '0'
if not fits then reply[1] = 0 end
for i = 1, n do
  local a, r = first + 3 * i, 3 * i
  local takes, limit, level = take and reply[r + 1] == 0, ARGV[a] + 0, levels[i]
  if takes then level = level + ARGV[a + 2] end
  local left, full = limit - level, level * ARGV[a + 1] * 1000 / limit
  reply[r - 1], reply[r] = left > 0 and left or 0, math.ceil(full)
  -- A refusal writes only where the clock stepped back: or it would last until the clock has caught up.
  if takes or stepped and stepped[i] then
    local expires, ends = kept[i], now / 1000 + math.min(full, 1e12) + 1000
    if expires and expires >= ends then
      call('SET', KEYS[i + 1], struct.pack('<ddd', level, now, expires), 'KEEPTTL')
    else
      expires = math.ceil(ends + math.min(ARGV[a + 1] * 1000, 60000))
      call('SET', KEYS[i + 1], struct.pack('<ddd', level, now, expires), 'PXAT', expires)
    end
  end
end
return reply
