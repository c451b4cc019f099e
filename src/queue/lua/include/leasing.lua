-- Takes jobs from the head: retries and expired leases by their original order, then the list.
local MAX_BYTES, SEARCH = 1048576, 500
local leased, lines, bytes, unread = {}, {}, 0, 0

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

local function give(o, id, j, raw)
  j.state, j.attempts, j.token = 'l', j.attempts + 1, o.token
  save(id, j)
  leased[#leased + 1] = o.deadline
  leased[#leased + 1] = id
  for _, value in ipairs({ id, j.attempts, raw, j.extra.operation or '', o.deadline, j.created }) do lines[#lines + 1] = value end
  bytes = bytes + #raw
end

local function fits(raw) return #lines == 0 or bytes + #raw <= MAX_BYTES end

local function take_retry(o, id)
  local j = job(id)
  local raw = j and bytes_of(id, j)
  if raw and not fits(raw) then return false end
  call('ZREM', RETRY, id)
  n.retry = n.retry - 1
  if j then give(o, id, j, raw) end
  return true
end

local function take_head(o, spare)
  local raw = call('LINDEX', W, 0)
  if not fits(raw) then return false end
  local sha, entry, id = redis.sha1hex(raw), call('LINDEX', WAITING, 0), nil
  if entry and string.sub(entry, 1, 40) == sha then
    call('LTRIM', WAITING, 1, -1)
    id = string.sub(entry, 41)
    n.waiting = n.waiting - 1
  elseif entry then
    id = younger(sha)
  end
  local j, good = id and job(id), true
  if not j then
    -- A record is made for a task of others, and for one of ours that lost its own.
    id, good = spare, readable(raw, o.project_id)
    j = { state = 'l', attempts = 0, max = o.attempts, order = tick(), created = now_ms, size = #raw, token = '', extra = {} }
    call('INCRBY', SIZE, #raw)
  end
  if #raw <= SHORT then
    call('LTRIM', W, 1, -1)
    j.body = raw
  else
    call('LMOVE', W, raw_key(id), 'LEFT', 'RIGHT')
    j.body = ''
  end
  n.list = n.list - 1
  if good then
    give(o, id, j, raw)
  else
    bury(id, j, 'unreadable: not JSON of this project, empty, or over 1 MiB')
    unread = unread + 1
  end
  return true
end

-- False when there is nothing more, or no room for it in the reply.
local function take_one(o, spare)
  local retry = n.retry > 0 and call('ZRANGE', RETRY, 0, 0)[1]
  if retry then return take_retry(o, retry) end
  return n.list > 0 and take_head(o, spare)
end

-- Up to one job for each unused id in ARGV from o.ids on. Returns id, attempt, raw, operation, deadline_ms, created_ms of each.
local function take(o, settings)
  local wanted = math.min(#ARGV - o.ids + 1, o.max_leased - n.leases)
  if settings.paused or n.dead >= o.max_dead then wanted = 0 end
  if (settings.order or o.order) == 'strict' then
    wanted = (n.leases > 0 or call('EXISTS', o.hold) == 1) and 0 or math.min(wanted, 1)
  end
  o.deadline = now_ms + o.lease_ms
  for i = 0, #ARGV - o.ids do
    if #leased >= 2 * wanted or not take_one(o, ARGV[o.ids + i]) then break end
  end
  if #leased > 0 then call('ZADD', LEASES, unpack(leased)) end
  return lines
end

local function read_settings(key)
  local fields = call('HMGET', key, 'paused', 'order', 'weight')
  return { paused = fields[1], order = fields[2], weight = fields[3] or '1' }
end
