-- Token buckets. What is kept is what was consumed, not what is left: three doubles, the consumed amount, when it was so (us)
-- and until when the key lives (ms). It drains evenly, `limit` in `window` seconds, with its fraction; so a new limit leaves
-- what was consumed as it is, and a bucket that is full again needs no key.
-- While a resource has open holds, three more values follow: eight bytes that name these holds, what would be consumed had none
-- of them been made, which drains likewise, and the sum of what was taken for them. What flows in while a hold stands is
-- lost to a bucket that would be full without it; so `sum` beyond the difference of both levels is not there to give back.

-- Stands for two seconds where a bucket was that the owner's new window has moved to another key: {5}, whoever finds it knows
-- an old policy.
local MOVED = 'moved'

-- Returns the consumed amount now, until when the key lives (nil without key), whether the clock stepped back behind the
-- last write: then nothing drains; and its open holds.
local function drain(value, limit, window, now)
  if not value or value == MOVED then return 0 end
  if #value ~= 24 and #value ~= 48 then error(WRONGTYPE) end
  local used, at, expires = struct.unpack('<ddd', value)
  local open
  if #value == 48 then
    local without, sum = struct.unpack('<dd', value, 33)
    open = { name = string.sub(value, 25, 32), without = without, sum = sum }
  end
  if now < at then return used, expires, true, open end
  local drained = (now - at) * limit / (window * 1000000)
  -- Of a bucket that has been full nothing is there to give back.
  if used <= drained then return 0, expires end
  if open then open.without = math.max(0, open.without - drained) end
  return used - drained, expires, false, open
end

-- The key outlives the moment at which the bucket is full again. A new expiry costs Redis more than the write, so it is set
-- ahead and then kept for a while.
local function save_bucket(key, used, limit, window, now, expires, open)
  local needed = now / 1000 + used * window * 1000 / limit + 1000
  local rest = open and open.name .. struct.pack('<dd', open.without, open.sum) or ''
  if expires and expires >= needed then
    redis.call('SET', key, struct.pack('<ddd', used, now, expires) .. rest, 'KEEPTTL')
  else
    expires = math.ceil(math.min(needed, now / 1000 + 1e12) + math.min(window * 1000, 60000))
    redis.call('SET', key, struct.pack('<ddd', used, now, expires) .. rest, 'PXAT', expires)
  end
end

-- Ms until `amount` fits, rounded up but for what doubles add; 0 when it does: 0 always fits, and what is more than the limit
-- never does, which is said as a day.
local function bucket_retry(used, limit, window, amount)
  if amount == 0 or amount <= limit - used then return 0 end
  if amount > limit then return 86400000 end
  return math.max(1, math.ceil((used + amount - limit) * window * 1000 / limit - 1e-6))
end

-- Appends limit, window in s, remaining, ms until full, ms until what was refused fits.
local function report_bucket(out, used, limit, window, retry)
  local n, left = #out, limit - used
  out[n + 1], out[n + 2], out[n + 3] = limit, window, left > 0 and math.floor(left) or 0
  out[n + 4], out[n + 5] = math.ceil(used * window * 1000 / limit), retry
end
