-- Brings the places up to date, bounded: leases that expired, delays that are over, jobs that others popped.

local function expire(due, report)
  for _, id in ipairs(due) do
    call('ZREM', LEASES, id)
    local fields = job(id, 'attempts', 'max', 'order', 'dedupe', 'operation')
    if fields and fields[1] == 'cancelled' then
      finish(id, 'cancelled', fields[5])
    elseif fields and tonumber(fields[2]) >= tonumber(fields[3]) then
      bury(id, 'lease expired')
      report[#report + 1] = id
      report[#report + 1] = fields[6] or ''
    elseif fields then
      to_retry(id, fields[4])
      report[1] = report[1] + 1
    end
  end
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
  local due = -1
  for _, key in ipairs({ DELAYED, LEASES }) do
    local head = call('ZRANGE', key, 0, 0, 'WITHSCORES')[2]
    if head and (due < 0 or tonumber(head) < due) then due = tonumber(head) end
  end
  return int(due)
end
