-- Brings the places up to date, bounded: leases that expired, delays that are over, jobs that others popped.

local function expire(due, report)
  for _, id in ipairs(due) do
    call('ZREM', LEASES, id)
    local j = job(id)
    if j and j.state == 'c' then
      finish(id, j, 'c')
    elseif j and j.attempts >= j.max then
      bury(id, j, 'lease expired')
      report[#report + 1] = id
      report[#report + 1] = j.extra.operation or ''
    elseif j then
      to_retry(id, j.order)
      report[1] = report[1] + 1
    end
  end
end

local function promote(due)
  for _, id in ipairs(due) do
    call('ZREM', DELAYED, id)
    local j = job(id)
    if j and j.attempts > 0 then
      to_retry(id, j.order)
    elseif j then
      push_waiting(id, j)
    end
  end
end

local function head_score(key) return tonumber(call('ZRANGE', key, 0, 0, 'WITHSCORES')[2]) end

local function due_ids(key, limit) return call('ZRANGEBYSCORE', key, '-inf', now_ms, 'LIMIT', 0, limit) end

-- Returns what its caller must tell: how many leases expired and went to their retry, then id and operation ('' for none)
-- of each job whose last lease it was.
local function settle()
  local report, moved = { 0 }, false
  if n.leases > 0 and head_score(LEASES) <= now_ms then
    expire(due_ids(LEASES, REAP), report)
    moved = true
  end
  if n.delayed > 0 and head_score(DELAYED) <= now_ms then
    promote(due_ids(DELAYED, PROMOTE))
    moved = true
  end
  if moved then survey() end
  reap()
  return report
end

-- The next moment (ms) at which settle() has something to do by itself; -1 when there is none.
local function next_due()
  local due = head_score(LEASES) or -1
  local delayed = head_score(DELAYED)
  if delayed and (due < 0 or delayed < due) then due = delayed end
  return due
end
