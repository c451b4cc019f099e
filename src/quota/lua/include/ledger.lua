-- The ledger of one resource: a cell per calendar window, '<used>' or '<used>+<held>', and the bucket under the base key.
-- All four windows are always kept, limited or not: they are the usage series, and a limit that is set later finds what was
-- consumed before. Cells outlive their window, so that a clock that steps back finds them used and holds settle in them.
local KEEP_SECONDS = { 10800, 259200, 8035200, 8035200 }
-- A hold lives for a day and is corrected for a day after.
local PINNED_SECONDS = 176400

local function parse_cell(value)
  if not value then return 0, 0 end
  local plain = tonumber(value)
  if plain then return plain, 0 end
  local used, held = string.match(value, '^(%d+)%+(%d+)$')
  if not used then error(WRONGTYPE) end
  return tonumber(used), tonumber(held)
end

-- Reads the cells of the windows in which `seconds` lies, and the bucket now. Fails, before anything is written, when a key
-- holds a value of another kind.
local function open_ledger(base, policy, seconds, now)
  local starts, keys = window_starts(seconds), {}
  local limit, window = bucket_policy(policy)
  for i = 1, 4 do keys[i] = base .. ':' .. KINDS[i] .. ':' .. starts[i] end
  if limit then keys[5] = base end
  local values = redis.call('MGET', unpack(keys))
  local ledger = { base = base, starts = starts, keys = keys, used = {}, held = {}, kept = {}, caps = {} }
  for i = 1, #keys do
    if not values[i] and not is_type(keys[i], 'string') then error(WRONGTYPE) end
  end
  for i = 1, 4 do
    ledger.used[i], ledger.held[i] = parse_cell(values[i])
    ledger.kept[i] = values[i] ~= false
    ledger.caps[i] = tonumber(string.match(policy, KINDS[i] .. '=(%d+)'))
  end
  if limit then
    ledger.limit, ledger.window = limit, window
    ledger.level, ledger.expires, ledger.stepped = drain(values[5], limit, window, now)
  end
  return ledger
end

-- What every rule still gives: nil when no rule limits the resource.
local function headroom(ledger)
  local least
  for i = 1, 4 do
    local cap = ledger.caps[i]
    if cap then least = math.min(least or cap, cap - ledger.used[i] - ledger.held[i]) end
  end
  if ledger.limit then least = math.min(least or ledger.limit, ledger.limit - ledger.level) end
  return least and math.max(0, math.floor(least))
end

local function ledger_fits(ledger, amount)
  local left = headroom(ledger)
  return not left or amount <= left
end

-- Adds to what is used and held in every window, and `level` to the bucket. `pin`: a hold needs the cells for longer.
local function post(ledger, used, held, level, now, pin)
  for i = 1, 4 do
    ledger.used[i] = math.max(0, ledger.used[i] + used)
    ledger.held[i] = math.max(0, ledger.held[i] + held)
    local value = string.format('%.0f', ledger.used[i])
    if ledger.held[i] > 0 then value = string.format('%s+%.0f', value, ledger.held[i]) end
    if ledger.kept[i] and not pin then
      redis.call('SET', ledger.keys[i], value, 'KEEPTTL')
    else
      local keep = pin and math.max(KEEP_SECONDS[i], PINNED_SECONDS) or KEEP_SECONDS[i]
      redis.call('SET', ledger.keys[i], value, 'EXAT', window_end(i, ledger.starts[i]) + keep)
    end
  end
  if ledger.limit then
    ledger.level = math.max(0, ledger.level + level)
    save_bucket(ledger.base, ledger.level, ledger.limit, ledger.window, now, ledger.expires)
  end
end

-- Writes what the clock that stepped back makes necessary, or a refusal would last until the clock has caught up.
local function mend_bucket(ledger, now)
  if ledger.stepped then save_bucket(ledger.base, ledger.level, ledger.limit, ledger.window, now, ledger.expires) end
end

-- For each limited window its number, limit, used, held, end in ms and ms until `amount` fits; then for the bucket 0 and its
-- figures.
local function report_ledger(ledger, amount, now)
  local out = {}
  for i = 1, 4 do
    local cap = ledger.caps[i]
    if cap then
      local ends, retry, n = window_end(i, ledger.starts[i]) * 1000, 0, #out
      if amount > math.max(0, cap - ledger.used[i] - ledger.held[i]) then
        retry = amount > cap and NEVER_MS or ends - math.floor(now / 1000)
      end
      out[n + 1], out[n + 2], out[n + 3] = i, cap, ledger.used[i]
      out[n + 4], out[n + 5], out[n + 6] = ledger.held[i], ends, retry
    end
  end
  if ledger.limit then
    out[#out + 1] = 0
    report_bucket(out, ledger.level, ledger.limit, ledger.window, amount)
  end
  return out
end
