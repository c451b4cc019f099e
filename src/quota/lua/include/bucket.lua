-- Token buckets. What is kept is what was consumed, not what is left: '<consumed> <us>'. It drains evenly, `limit` in
-- `window` seconds, with its fraction; so a new limit leaves what was consumed as it is, and an empty bucket needs no key.
local NEVER_MS = 86400000

local function bucket_policy(policy)
  local limit, window = string.match(policy, 'bucket=(%d+)/(%d+)')
  return tonumber(limit), tonumber(window)
end

-- The consumed amount now, and whether the clock stepped back behind the last write: then nothing drains, ever.
local function drain(value, limit, window, now)
  if not value then return 0, false end
  local used, at = string.match(value, '^([%d.e+-]+) (%d+)$')
  if not used then error(WRONGTYPE) end
  local elapsed = now - at
  if elapsed < 0 then return tonumber(used), true end
  return math.max(0, used - elapsed * limit / (window * 1000000)), false
end

-- The key lives until the bucket would be full again, and a second more.
local function save_bucket(key, used, limit, window, now)
  local ms = math.min(math.ceil(used * window * 1000 / limit), 1e12) + 1000
  redis.call('SET', key, string.format('%.17g %.0f', used, now), 'PX', ms)
end

local function bucket_fits(used, limit, amount)
  return amount <= math.max(0, limit - used)
end

-- Appends {0, limit, window_s, remaining, ms until full, ms until `amount` passes (0 when it does)}.
local function report_bucket(out, used, limit, window, amount)
  local ms_each, retry, n = window * 1000 / limit, 0, #out
  if amount > limit then
    retry = NEVER_MS
  elseif not bucket_fits(used, limit, amount) then
    retry = math.floor((used + amount - limit) * ms_each) + 1
  end
  out[n + 1], out[n + 2], out[n + 3] = 0, limit, window
  out[n + 4], out[n + 5], out[n + 6] = math.max(0, math.floor(limit - used)), math.ceil(used * ms_each), retry
end
