-- Takes jobs from the head: retries and expired leases by their original order, then the list.
local MAX_BYTES = 1048576
local gone, indexed, leased, lines, bytes, unread = {}, {}, {}, {}, 0, 0
local oldest, at

local function readable(raw, project_id)
  if #raw == 0 or #raw > MAX_BYTES then return false end
  local ok, task = pcall(cjson.decode, raw)
  return ok and type(task) == 'table' and task.project_id == project_id
end

-- What was taken leaves the indexes in one command each.
local function flush()
  if #gone > 0 then
    call('ZREM', WAITING, unpack(gone))
    call('ZREM', BYTES, unpack(indexed))
  end
  gone, indexed, oldest = {}, {}, nil
end

-- Others popped from the head, so the jobs older than one that is reached may be gone. One whose bytes still stand near
-- the head is not: then what was reached is a stranger's task with equal bytes, and proves nothing.
local function reap_before(order)
  for _, id in ipairs(call('ZRANGEBYSCORE', WAITING, '-inf', '(' .. order, 'LIMIT', 0, TAKE)) do
    local raw = call('HGET', job_key(id), 'raw')
    if raw and call('LPOS', W, raw, 'MAXLEN', NEAR) then return end
    mark_taken(id)
  end
end

-- Pops the head when its bytes are not the oldest job's. Returns a job; '' when it was buried; nil when it is too much.
local function pop_other(o, spare)
  flush()
  local raw = call('LPOP', W)
  if #lines > 0 and bytes + #raw > MAX_BYTES then
    call('LPUSH', W, raw)
    return nil
  end
  local sha = redis.sha1hex(raw)
  local found = call('ZRANGEBYLEX', BYTES, '[' .. sha .. ':', '(' .. sha .. ';', 'LIMIT', 0, 1)[1]
  if found then
    local order, id = string.match(found, '^%x+:(%d+):(.+)$')
    call('ZREM', BYTES, found)
    call('ZREM', WAITING, id)
    reap_before(order)
    if job(id) then return id end
  end
  call('HSET', job_key(spare), 'state', 'waiting', 'raw', raw, 'sha', sha, 'attempts', 0, 'max', o.attempts, 'order', tick(),
    'foreign', 1, 'created_ms', int(now_ms))
  call('INCRBY', SIZE, #raw)
  if readable(raw, o.project_id) then return spare end
  bury(spare, 'unreadable: not JSON of this project, empty, or over 1 MiB')
  unread = unread + 1
  return ''
end

local function give(o, id, attempts, raw, operation)
  local attempt = int(tonumber(attempts) + 1)
  call('HSET', job_key(id), 'state', 'leased', 'token', o.token, 'attempts', attempt)
  leased[#leased + 1] = o.deadline
  leased[#leased + 1] = id
  lines[#lines + 1] = { id, attempt, raw, operation or '', o.token, o.deadline }
  bytes = bytes + #raw
end

local function take_one(o, wanted, spare)
  local retry = n.retry > 0 and call('ZRANGE', RETRY, 0, 0)[1]
  if retry then
    local fields = job(retry, 'attempts', 'raw', 'operation')
    if fields and #lines > 0 and bytes + #fields[3] > MAX_BYTES then return false end
    call('ZREM', RETRY, retry)
    n.retry = n.retry - 1
    if fields then give(o, retry, fields[2], fields[3], fields[4]) end
    return true
  end
  if n.list == 0 then return false end
  if not oldest then oldest, at = call('ZRANGE', WAITING, 0, wanted - 1), 1 end
  local id = oldest[at]
  local fields = id and job(id, 'attempts', 'raw', 'operation', 'sha', 'order')
  if fields and fields[3] and call('LPOS', W, fields[3], 'MAXLEN', 1) then
    if #lines > 0 and bytes + #fields[3] > MAX_BYTES then return false end
    call('LTRIM', W, 1, -1)
    at = at + 1
    gone[#gone + 1] = id
    indexed[#indexed + 1] = index(fields[5], fields[6], id)
    give(o, id, fields[2], fields[3], fields[4])
  else
    id = pop_other(o, spare)
    if not id then return false end
    fields = id ~= '' and job(id, 'attempts', 'raw', 'operation')
    if fields then give(o, id, fields[2], fields[3], fields[4]) end
  end
  n.list = n.list - 1
  return true
end

-- Up to one job for each unused id in ARGV from o.ids on. Returns {id, attempt, raw, operation, token, deadline_ms} for each.
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
