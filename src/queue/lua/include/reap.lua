-- Jobs whose bytes another program popped.

-- The oldest `count` of `waiting`.
local function mark_taken(count)
  for _, entry in ipairs(call('LPOP', WAITING, count) or {}) do
    local id = string.sub(entry, 41)
    local j = job(id)
    if j then finish(id, j, 't') end
  end
  n.waiting = call('LLEN', WAITING)
end

-- Consumers that only pop never run a script: whoever adds or looks finds out for them, or their bytes would count for ever.
local function reap()
  if n.waiting > n.list then mark_taken(math.min(n.waiting - n.list, TAKE)) end
end
