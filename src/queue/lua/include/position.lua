-- Where in W a waiting job's bytes stand, from 0, with the bytes; nil when they are not there (within `reach` items).
-- Without tasks of others its rank is its place; else everything is looked at, its size first.
local function find_waiting(id, sha, size, reach)
  local rank = call('ZRANK', WAITING, id)
  local raw = rank and rank < reach and call('LINDEX', W, rank)
  if raw and redis.sha1hex(raw) == sha then return rank, raw end
  for from = 0, math.min(n.list, reach) - 1, 100 do
    for i, other in ipairs(call('LRANGE', W, from, from + 99)) do
      if #other == size and redis.sha1hex(other) == sha then return from + i - 1, other end
    end
  end
  return nil
end
