-- The ledger of one resource: a cell per calendar window, '<used>' or '<used>+<held>', then ' <kind>=<count>' for each kind
-- that was charged; and the bucket under the base key. All four windows are always kept, limited or not: they are the usage
-- series, and a limit that is set later finds what was consumed before. Cells outlive their window, so that a clock that
-- steps back finds them used and holds settle in them.
local KEEP_SECONDS = { 10800, 259200, 8035200, 8035200 }
-- A hold lives for a day and is corrected for a day after.
local PINNED_SECONDS = 176400

-- Reads the cells of the windows in which `seconds` lies, and the bucket now. Fails, before anything is written, when a key
-- holds a value of another kind.
local function open_ledger(base, rules, seconds, now)
  local starts = window_starts(seconds)
  local keys = {
    base .. ':minute:' .. starts[1], base .. ':hour:' .. starts[2], base .. ':day:' .. starts[3],
    base .. ':month:' .. starts[4], rules.limit and base,
  }
  local values = redis.call('MGET', unpack(keys))
  -- Tables of their final size: growing them costs more than filling them.
  local used, held, kinds = { 0, 0, 0, 0 }, { 0, 0, 0, 0 }, { '', '', '', '' }
  for i = 1, #keys do
    local value = values[i]
    if not value then
      if not is_type(keys[i], 'string') then error(WRONGTYPE) end
    elseif i < 5 then
      used[i], held[i], kinds[i] = parse_cell(value)
    end
  end
  local ledger = { base = base, rules = rules, starts = starts, keys = keys, used = used, held = held, kinds = kinds, kept = values }
  if rules.limit then
    ledger.level, ledger.expires, ledger.stepped, ledger.open = drain(values[5], rules.limit, rules.window, now)
  end
  return ledger
end

-- What every rule still gives: nil when none limits the resource.
local function headroom(ledger)
  local rules, least = ledger.rules, nil
  for i = 1, 4 do
    local cap = rules.caps[i]
    if cap then
      local left = cap - ledger.used[i] - ledger.held[i]
      if not least or left < least then least = left end
    end
  end
  if rules.limit then least = math.min(least or rules.limit, rules.limit - ledger.level) end
  return least and math.max(0, math.floor(least))
end

-- Whether the rules let the amount pass: dry ones let everything.
local function ledger_fits(ledger, amount)
  local left = headroom(ledger)
  return ledger.rules.dry or not left or amount <= left
end

-- Adds to what is used and held in every window, and `level` to the bucket; to what it would be without open holds `without`,
-- where that is another amount. `pin`: a hold needs the cells for longer.
local function post(ledger, used, held, level, now, pin, kinds, without)
  local plain = used > 0 and held == 0 and not pin and (not kinds or kinds == '')
  for i = 1, 4 do
    local key, kept = ledger.keys[i], ledger.kept[i]
    ledger.used[i] = math.max(0, ledger.used[i] + used)
    ledger.held[i] = math.max(0, ledger.held[i] + held)
    if plain and kept and ledger.held[i] == 0 and ledger.kinds[i] == '' then
      redis.call('INCRBY', key, used)
    else
      if kinds then ledger.kinds[i] = add_kinds(ledger.kinds[i], kinds) end
      local value = int(ledger.used[i])
      if ledger.held[i] > 0 then value = value .. '+' .. int(ledger.held[i]) end
      value = value .. ledger.kinds[i]
      if kept and not pin then
        redis.call('SET', key, value, 'KEEPTTL')
      else
        local keep = pin and math.max(KEEP_SECONDS[i], PINNED_SECONDS) or KEEP_SECONDS[i]
        redis.call('SET', key, value, 'EXAT', window_end(i, ledger.starts[i]) + keep)
      end
    end
  end
  local rules = ledger.rules
  if rules.limit then
    local open = ledger.open
    ledger.level = math.max(0, ledger.level + level)
    if open then open.without = math.max(0, math.min(ledger.level, open.without + (without or level))) end
    save_bucket(ledger.base, ledger.level, rules.limit, rules.window, now, ledger.expires, open)
  end
end

-- Writes what the clock that stepped back makes necessary, or a refusal would last until the clock has caught up.
local function mend_bucket(ledger, now)
  local rules = ledger.rules
  if ledger.stepped then
    save_bucket(ledger.base, ledger.level, rules.limit, rules.window, now, ledger.expires, ledger.open)
  end
end

-- For each limited window its number, limit, used, held, end in ms and ms until what was refused fits; then for the bucket
-- 0, its figures, and 1 when it has open holds.
local function report_ledger(ledger, amount, now)
  local out, n, rules = {}, 0, ledger.rules
  for i = 1, 4 do
    local cap = rules.caps[i]
    if cap then
      local ends, retry = window_end(i, ledger.starts[i]) * 1000, 0
      if amount > math.max(0, cap - ledger.used[i] - ledger.held[i]) then
        retry = amount > cap and 86400000 or ends - math.floor(now / 1000)
      end
      out[n + 1], out[n + 2], out[n + 3] = i, cap, ledger.used[i]
      out[n + 4], out[n + 5], out[n + 6] = ledger.held[i], ends, retry
      n = n + 6
    end
  end
  if rules.limit then
    out[n + 1] = 0
    report_bucket(out, ledger.level, rules.limit, rules.window, bucket_retry(ledger.level, rules.limit, rules.window, amount))
    out[n + 7] = ledger.open and 1 or 0
  end
  return out
end
