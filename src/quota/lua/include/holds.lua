-- Holds: HASH <base>:hold:<id>, and the open ones in the ZSET <base>:due by the ms in which they expire.
-- An ending can be overruled only by a stronger one: open < expired < released < committed.
local SETTLE_AT_ONCE = 200
local CORRECTABLE_MS = 86400000

local function read_hold(base, id)
  local key = base .. ':hold:' .. id
  local v = redis.call('HMGET', key, 'state', 'amount', 'covered', 'reported', 'charged', 'overrun', 'on_expiry', 'at', 'ttl_ms',
    'taken', 'mark')
  if not v[1] then return nil end
  local hold = {
    id = id, key = key, state = v[1], on_expiry = v[7], mark = v[11],
    amount = tonumber(v[2]), covered = tonumber(v[3]), reported = tonumber(v[4]),
    charged = tonumber(v[5]), overrun = tonumber(v[6]), at = tonumber(v[8]), ttl_ms = tonumber(v[9]),
  }
  hold.taken = tonumber(v[10]) or (hold.state == 'open' and hold.amount or hold.charged)
  return hold
end

-- Takes from the bucket what is charged beyond what was taken for the hold; or gives back what it would not count now, had
-- that never been taken. Returns by how much the level changes.
local function balance(ledger, hold, charge, now)
  local rules, less = ledger.rules, hold.taken - charge
  if less <= 0 then return -less end
  if not rules.limit then return 0 end
  -- A record without mark is older than floors: as if all that flowed in since had flowed to this hold.
  local own, low = 17, hold.taken - (now - hold.at * 1000) * rules.limit / (rules.window * 1000000)
  if hold.mark then own, low = floor_of(ledger.floors, hold.mark) end
  less = math.max(0, math.min(less, low, ledger.level))
  if ledger.floors and less > 0 then ledger.floors = sink_floors(ledger.floors, own, low, less) end
  return -less
end

-- Ends a hold, or corrects its end, in the windows of the reservation. What is charged beyond the capacity that the hold
-- still covered is its overrun: charged - overrun + held never exceeds a limit.
local function close_hold(base, rules, hold, state, charge, now, kinds)
  local open = hold.state == 'open'
  local ledger = open_ledger(base, rules, math.floor(hold.at / 1000), now)
  if not is_type(base .. ':due', 'zset') then error(WRONGTYPE) end
  local level = balance(ledger, hold, charge, now)
  post(ledger, charge - hold.charged, open and -hold.amount or 0, level, now, nil, kinds)
  hold.state, hold.charged = state, charge
  hold.overrun = math.max(0, charge - hold.covered)
  hold.covered = math.min(hold.covered, charge)
  redis.call('HSET', hold.key, 'state', state, 'charged', charge, 'overrun', hold.overrun, 'covered', hold.covered,
    'taken', hold.taken + level)
  redis.call('PEXPIRE', hold.key, CORRECTABLE_MS)
  redis.call('ZREM', base .. ':due', hold.id)
end

-- Redis settles nothing by itself: each script of a resource first ends its holds that are due, as each of them says.
-- Returns whether more may be due.
local function settle_due(base, rules, now)
  local due = redis.call('ZRANGEBYSCORE', base .. ':due', '-inf', math.floor(now / 1000), 'LIMIT', 0, SETTLE_AT_ONCE)
  for _, id in ipairs(due) do
    local hold = read_hold(base, id)
    if not hold or hold.state ~= 'open' then
      redis.call('ZREM', base .. ':due', id)
    else
      local charge = 0
      if hold.on_expiry == 'charge' then charge = hold.amount end
      if hold.on_expiry == 'charge_reported' then charge = hold.reported end
      close_hold(base, rules, hold, 'expired', charge, now)
    end
  end
  return #due == SETTLE_AT_ONCE
end
