-- Brings the places up to date, bounded: leases that expired, delays that are over, jobs that others popped.

local function expire(due)
  local expired, buried = 0, 0
  for _, id in ipairs(due) do
    call('ZREM', LEASES, id)
    local fields = job(id, 'attempts', 'max', 'order', 'dedupe')
    if fields and fields[1] == 'cancelled' then
      finish(id, 'cancelled', fields[5])
    elseif fields and tonumber(fields[2]) >= tonumber(fields[3]) then
      bury(id, 'lease expired')
      buried = buried + 1
    elseif fields then
      to_retry(id, fields[4])
      expired = expired + 1
    end
  end
  return expired, buried
end

local function promote(due)
  for _, id in ipairs(due) do
    call('ZREM', DELAYED, id)
    local fields = job(id, 'attempts', 'order', 'sha')
    if fields and tonumber(fields[2]) > 0 then
      to_retry(id, fields[3])
    elseif fields then
      local order = tail_order()
      call('HSET', job_key(id), 'state', 'waiting', 'order', order)
      push_waiting(id, fields[4], order)
    end
  end
end

local function head_score(key) return tonumber(call('ZRANGE', key, 0, 0, 'WITHSCORES')[2]) end

local function due_ids(key, limit) return call('ZRANGEBYSCORE', key, '-inf', int(now_ms), 'LIMIT', 0, limit) end

-- Returns how many leases expired, and how many of those jobs are dead now.
local function settle()
  local expired, buried, moved = 0, 0, false
  if n.leases > 0 and head_score(LEASES) <= now_ms then
    expired, buried = expire(due_ids(LEASES, REAP))
    moved = true
  end
  if n.delayed > 0 and head_score(DELAYED) <= now_ms then
    promote(due_ids(DELAYED, PROMOTE))
    moved = true
  end
  if moved then survey() end
  local excess = n.waiting - n.list
  if excess > 0 then
    for _, id in ipairs(call('ZRANGE', WAITING, 0, math.min(excess, TAKE) - 1)) do mark_taken(id) end
    survey()
  end
  return expired, buried
end

-- The next moment (ms) at which settle() has something to do by itself; -1 when there is none.
local function next_due()
  local due = -1
  for _, key in ipairs({ DELAYED, LEASES }) do
    local head = call('ZRANGE', key, 0, 0, 'WITHSCORES')[2]
    if head and (due < 0 or tonumber(head) < due) then due = tonumber(head) end
  end
  return int(due)
end
