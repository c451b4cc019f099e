-- Takes jobs from the head: retries and expired leases by their original order, then the list.
local MAX_BYTES = 1048576
local gone, indexed, leased, lines, bytes, unread = {}, {}, {}, {}, 0, 0
local oldest, at

local function readable(raw, project_id)
  if #raw == 0 or #raw > MAX_BYTES then return false end
  local ok, task = pcall(cjson.decode, raw)
  return ok and type(task) == 'table' and string.lower(tostring(task.project_id)) == project_id
end

-- What was taken leaves the indexes in one command each.
local function flush()
  if #gone > 0 then
    call('ZREM', WAITING, unpack(gone))
    call('ZREM', BYTES, unpack(indexed))
  end
  gone, indexed, oldest = {}, {}, nil
end

-- The SHA-1 of what stands near the head: of 100 items, or of 1 MiB.
local function near_head()
  local near, seen = {}, 0
  for i = 0, 99 do
    local raw = call('LINDEX', W, i)
    if not raw or seen > MAX_BYTES then break end
    seen = seen + #raw
    near[redis.sha1hex(raw)] = true
  end
  return near
end

-- Others pop from the head, so the jobs older than one that is reached are gone. But where one of them still stands near
-- the head, what was reached is a stranger's task with equal bytes, and proves nothing.
local function reap_before(order)
  local near
  for _, id in ipairs(call('ZRANGEBYSCORE', WAITING, '-inf', '(' .. order, 'LIMIT', 0, TAKE)) do
    near = near or near_head()
    if near[call('HGET', job_key(id), 'sha')] then return end
    mark_taken(id)
  end
end

-- The job that the head of W is, when it is not the oldest one; a record is made for a task of others.
local function job_of(o, raw, sha, spare)
  flush()
  local found = call('ZRANGEBYLEX', BYTES, '[' .. sha .. ':', '(' .. sha .. ';', 'LIMIT', 0, 1)[1]
  if found then
    local order, id = string.match(found, '^%x+:(%d+):(.+)$')
    call('ZREM', BYTES, found)
    call('ZREM', WAITING, id)
    reap_before(order)
    if job(id) then return id, true end
  end
  call('HSET', job_key(spare), 'state', 'waiting', 'size', #raw, 'sha', sha, 'attempts', 0, 'max', o.attempts,
    'order', tick(), 'foreign', 1, 'created_ms', int(now_ms))
  call('INCRBY', SIZE, #raw)
  return spare, readable(raw, o.project_id)
end

local function give(o, id, raw, attempts, operation, created)
  local attempt = int(tonumber(attempts) + 1)
  call('HSET', job_key(id), 'state', 'leased', 'token', o.token, 'attempts', attempt)
  leased[#leased + 1] = o.deadline
  leased[#leased + 1] = id
  lines[#lines + 1] = { id, attempt, raw, operation or '', o.token, o.deadline, created }
  bytes = bytes + #raw
end

local function fits(raw) return #lines == 0 or bytes + #raw <= MAX_BYTES end

local function take_retry(o, id)
  local raw = call('LINDEX', raw_key(id), 0)
  if raw and not fits(raw) then return false end
  call('ZREM', RETRY, id)
  n.retry = n.retry - 1
  local fields = job(id, 'attempts', 'operation', 'created_ms')
  if raw and fields then give(o, id, raw, fields[2], fields[3], fields[4]) end
  return true
end

local function take_head(o, wanted, spare)
  local raw = call('LINDEX', W, 0)
  if not fits(raw) then return false end
  local sha = redis.sha1hex(raw)
  if not oldest then oldest, at = call('ZRANGE', WAITING, 0, wanted - 1), 1 end
  local id, good = oldest[at], true
  local fields = id and job(id, 'attempts', 'operation', 'created_ms', 'sha', 'order')
  if fields and fields[5] == sha then
    at = at + 1
    gone[#gone + 1] = id
    indexed[#indexed + 1] = index(sha, fields[6], id)
  else
    id, good = job_of(o, raw, sha, spare)
    fields = job(id, 'attempts', 'operation', 'created_ms')
  end
  call('LMOVE', W, raw_key(id), 'LEFT', 'RIGHT')
  n.list = n.list - 1
  if good then
    give(o, id, raw, fields[2], fields[3], fields[4])
  else
    bury(id, 'unreadable: not JSON of this project, empty, or over 1 MiB')
    unread = unread + 1
  end
  return true
end

-- False when there is nothing more, or no room for it in the reply.
local function take_one(o, wanted, spare)
  local retry = n.retry > 0 and call('ZRANGE', RETRY, 0, 0)[1]
  if retry then return take_retry(o, retry) end
  return n.list > 0 and take_head(o, wanted, spare)
end

-- Up to one job for each unused id in ARGV from o.ids on. Returns {id, attempt, raw, operation, token, deadline_ms, created_ms} for each.
local function take(o)
  local wanted = math.min(#ARGV - o.ids + 1, o.max_leased - n.leases)
  local settings = o.settings
  if settings.paused or n.dead >= o.max_dead then wanted = 0 end
  if (settings.order or o.order) == 'strict' then
    wanted = (n.leases > 0 or call('EXISTS', o.hold) == 1) and 0 or math.min(wanted, 1)
  end
  o.deadline = int(now_ms + o.lease_ms)
  for i = 0, #ARGV - o.ids do
    if #lines >= wanted or not take_one(o, wanted, ARGV[o.ids + i]) then break end
  end
  flush()
  if #leased > 0 then call('ZADD', LEASES, unpack(leased)) end
  return lines
end

local function read_settings(key)
  local fields = call('HMGET', key, 'paused', 'order', 'weight')
  return { paused = fields[1], order = fields[2], weight = fields[3] or '1' }
end
