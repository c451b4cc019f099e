-- Jobs whose bytes another program popped.

local function mark_taken(id)
  local fields = job(id, 'sha', 'order', 'dedupe')
  if not fields then return call('ZREM', WAITING, id) end
  forget_waiting(id, fields[2], fields[3])
  finish(id, 'taken', fields[4])
end

-- Consumers that only pop never run a script: whoever adds or looks finds out for them, or their bytes would count for ever.
local function reap()
  local excess = n.waiting - n.list
  if excess <= 0 then return end
  for _, id in ipairs(call('ZRANGE', WAITING, 0, math.min(excess, TAKE) - 1)) do mark_taken(id) end
  survey()
end
