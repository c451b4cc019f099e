-- Where in W a waiting job's bytes stand, from 0, with the bytes; nil when they are not there (within `reach` items).
-- Without tasks of others its place among the jobs is its place there; else everything is looked at, its size first.
local function find_waiting(id, sha, size, reach)
  local rank = call('LPOS', WAITING, sha .. id, 'MAXLEN', reach)
  local raw = rank and call('LINDEX', W, rank)
  if raw and redis.sha1hex(raw) == sha then return rank, raw end
  for from = 0, math.min(n.list, reach) - 1, 100 do
    for i, other in ipairs(call('LRANGE', W, from, from + 99)) do
      if #other == size and redis.sha1hex(other) == sha then return from + i - 1, other end
    end
  end
  return nil
end

-- The entry of the oldest job with these bytes, when that is another one, and older. Without tasks of others its place is
-- that of the first such bytes in W; else all older ones are looked at.
local function twin_before(id, sha, raw)
  local rank, first = call('LPOS', WAITING, sha .. id), call('LPOS', W, raw)
  local twin = first < (rank or 0) and call('LINDEX', WAITING, first)
  if twin and string.sub(twin, 1, 40) == sha then return twin end
  if not twin and n.list == n.waiting then return nil end
  for from = 0, n.waiting - 1, 100 do
    for _, entry in ipairs(call('LRANGE', WAITING, from, from + 99)) do
      if entry == sha .. id then return nil end
      if string.sub(entry, 1, 40) == sha then return entry end
    end
  end
end
