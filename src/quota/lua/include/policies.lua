-- The caller knows the policies, from at most a second ago; it has those compared that it knows for longer.
-- Returns nil when the owner's settings still hold what the caller knows, else {4, policy or '-' of each that was compared}:
-- nothing was done, and the caller asks again by what it knows now. In ARGV, from `first` on: field, policy or '-'.
local function changed(settings, first, count)
  if count == 0 then return nil end
  local fields, same = {}, true
  for i = 1, count do fields[i] = ARGV[first + 2 * i - 2] end
  local stored = redis.call('HMGET', settings, unpack(fields))
  for i = 1, count do
    stored[i] = stored[i] or '-'
    same = same and stored[i] == ARGV[first + 2 * i - 1]
  end
  if same then return nil end
  table.insert(stored, 1, 4)
  return stored
end
