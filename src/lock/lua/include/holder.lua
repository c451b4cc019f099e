-- Owner and fence of the holder, as they stand in the lock; nothing when the lock is free or of another program.
local function holder(held)
  return string.match(held or '', '^%*?(%S+) (%d+)$')
end
