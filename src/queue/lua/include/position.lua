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

-- The entry of the job whose bytes are the first such in W. Without tasks of others it has the same place in both lists.
-- Else the jobs with these bytes are counted: others pop from the head, so the oldest of them lost their bytes where W
-- holds fewer. Where both lists are as long, so many tasks of others stand in W as jobs lost their bytes: what has the
-- same place can only be the owner, or a job with equal bytes that lost its own, which does as well.
local function owner_of_first(sha, raw)
  local places = call('LPOS', W, raw, 'COUNT', 0)
  local same = n.list == n.waiting and call('LINDEX', WAITING, places[1])
  if same and string.sub(same, 1, 40) == sha then return same end
  local equal = {}
  for from = 0, n.waiting - 1, 100 do
    for _, entry in ipairs(call('LRANGE', WAITING, from, from + 99)) do
      if string.sub(entry, 1, 40) == sha then equal[#equal + 1] = entry end
    end
  end
  return equal[math.max(#equal - #places, 0) + 1]
end
