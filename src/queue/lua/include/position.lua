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
-- Else the jobs with these bytes are counted, the youngest first: others pop from the head, so where W holds fewer such
-- bytes, the oldest jobs lost theirs. Where both lists are as long, so many tasks of others stand in W as jobs lost their
-- bytes: what has the same place can only be the owner, or a job with equal bytes that lost its own, which does as well.
local function owner_of_first(sha, raw)
  local places = call('LPOS', W, raw, 'COUNT', 0)
  local same = n.list == n.waiting and call('LINDEX', WAITING, places[1])
  if same and string.sub(same, 1, 40) == sha then return same end
  local owner, equal = nil, 0
  for to = n.waiting - 1, 0, -100 do
    local entries = call('LRANGE', WAITING, math.max(to - 99, 0), to)
    for i = #entries, 1, -1 do
      if string.find(entries[i], sha, 1, true) == 1 then
        owner, equal = entries[i], equal + 1
        if equal == #places then return owner end
      end
    end
  end
  return owner
end
