-- Holds: HASH <base>:hold:<id>, and the open ones in the ZSET <base>:due by the ms in which they expire.
-- An ending can be overruled only by a stronger one: open < expired < released < committed.
local SETTLE_AT_ONCE = 200
local CORRECTABLE_MS = 86400000

local function read_hold(base, id)
  local key = base .. ':hold:' .. id
  local v = redis.call('HMGET', key, 'state', 'amount', 'covered', 'reported', 'charged', 'overrun', 'on_expiry', 'at', 'ttl_ms',
    'mark')
  if not v[1] then return nil end
  return {
    id = id, key = key, state = v[1], on_expiry = v[7], mark = v[10],
    amount = tonumber(v[2]), covered = tonumber(v[3]), reported = tonumber(v[4]),
    charged = tonumber(v[5]), overrun = tonumber(v[6]), at = tonumber(v[8]), ttl_ms = tonumber(v[9]),
  }
end

-- Whether the bucket still knows a hold: it forgets all when it is full, and each when it ends.
local function weighs(ledger, hold)
  return hold.state == 'open' and ledger.open and ledger.open.name == hold.mark
end

-- By how much the bucket's level changes when a hold ends with a charge, and by how much what it would be without open holds.
-- It then stands as if only the charge had been taken. What has been refilled while several holds were open is missing in those
-- that end first. After its end a hold gives a bucket nothing back.
local function balance(ledger, hold, charge, now)
  local rules, open, more = ledger.rules, ledger.open, charge - (hold.state == 'open' and hold.amount or hold.charged)
  if weighs(ledger, hold) then
    local lost = math.max(0, open.sum - (ledger.level - open.without))
    open.sum = open.sum - hold.amount
    if open.sum <= 0 then ledger.open = nil end
    return more < 0 and math.min(0, more + lost) or more, charge
  end
  if more >= 0 then return more end
  -- A record without mark is older than these: as if all that flowed in since had flowed to this hold.
  if hold.mark or hold.state ~= 'open' or not rules.limit then return 0 end
  local kept = hold.amount - (now - hold.at * 1000) * rules.limit / (rules.window * 1000000)
  return -math.max(0, math.min(-more, kept, ledger.level))
end

-- Ends a hold, or corrects its end, in the windows of the reservation. What is charged beyond the capacity that the hold
-- still covered is its overrun: charged - overrun + held never exceeds a limit.
local function close_hold(base, rules, hold, state, charge, now, kinds)
  local open = hold.state == 'open'
  local ledger = open_ledger(base, rules, math.floor(hold.at / 1000), now)
  if not is_type(base .. ':due', 'zset') then error(WRONGTYPE) end
  local level, without = balance(ledger, hold, charge, now)
  post(ledger, charge - hold.charged, open and -hold.amount or 0, level, now, false, kinds, without)
  hold.state, hold.charged = state, charge
  hold.overrun = math.max(0, charge - hold.covered)
  hold.covered = math.min(hold.covered, charge)
  redis.call('HSET', hold.key, 'state', state, 'charged', charge, 'overrun', hold.overrun, 'covered', hold.covered)
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
