-- What others do to the list: tasks of their own in it, and jobs of ours that they popped.
local MAX_BYTES, SEARCH = 1048576, 500

local function readable(raw, project_id)
  if #raw == 0 or #raw > MAX_BYTES then return false end
  local ok, task = pcall(cjson.decode, raw)
  return ok and type(task) == 'table' and string.lower(tostring(task.project_id)) == project_id
end

-- Whether one of these entries stands near the head of W: within 100 items, or 1 MiB.
local function near_head(entries)
  local near, seen = {}, 0
  for i = 0, 99 do
    local raw = call('LINDEX', W, i)
    if not raw or seen > MAX_BYTES then break end
    seen = seen + #raw
    near[redis.sha1hex(raw)] = true
  end
  for _, entry in ipairs(entries) do
    if near[string.sub(entry, 1, 40)] then return true end
  end
  return false
end

-- The job that the head of W is, when it is not the oldest one: nil for a task of others.
-- They pop from the head, so the jobs older than one that is reached are gone. But where one of them still stands near
-- the head, what was reached is a stranger's task with equal bytes, and proves nothing.
local function younger(sha)
  for from = 0, math.min(n.waiting, SEARCH) - 1, 100 do
    for i, entry in ipairs(call('LRANGE', WAITING, from, from + 99)) do
      if string.sub(entry, 1, 40) == sha then
        local older = math.min(from + i - 1, TAKE)
        call('LREM', WAITING, 1, entry)
        if not near_head(call('LRANGE', WAITING, 0, older - 1)) then mark_taken(older) end
        n.waiting = call('LLEN', WAITING)
        return string.sub(entry, 41)
      end
    end
  end
  return nil
end
