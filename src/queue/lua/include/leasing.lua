-- Takes jobs from the head: retries and expired leases by their original order, then the list.
local leased, given, bytes, unread = {}, {}, 0, 0

local function give(o, id, j, raw)
  j.state, j.attempts, j.token = 'l', j.attempts + 1, o.token
  save(id, j)
  leased[#leased + 1] = o.deadline
  leased[#leased + 1] = id
  given[#given + 1] = { id, j.attempts, raw, j.extra.operation or '', o.deadline, j.created }
  bytes = bytes + #raw
end

local function fits(raw) return #given == 0 or bytes + #raw <= MAX_BYTES end

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

-- Up to o.wanted jobs; o.id with a number is the id of a task of others. Returns {id, attempt, raw, operation, deadline_ms, created_ms} of each.
local function take(o, settings)
  local wanted = math.min(o.wanted, o.max_leased - n.leases)
  if settings.paused or n.dead >= o.max_dead then wanted = 0 end
  if (settings.order or o.order) == 'strict' then
    wanted = (n.leases > 0 or call('EXISTS', o.hold) == 1) and 0 or math.min(wanted, 1)
  end
  o.deadline = now_ms + o.lease_ms
  for i = 1, o.wanted do
    if #leased >= 2 * wanted or not take_one(o, o.id .. i) then break end
  end
  if #leased > 0 then call('ZADD', LEASES, unpack(leased)) end
  return given
end

local function read_settings(key)
  local fields = call('HMGET', key, 'paused', 'order', 'weight')
  return { paused = fields[1], order = fields[2], weight = fields[3] or '1' }
end
