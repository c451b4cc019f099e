-- What all scripts of a queue share: names, job records, the moves between the places of a job.
-- A job is in exactly one place: W and `waiting` (with `bytes`), `delayed`, `retry`, `leases`, `dead`, or its record only.
local W, WAITING, BYTES, LEASES, DELAYED, RETRY, DEAD, SIZE, DEDUPE, WAKE, PURGED = unpack(KEYS, 1, 11)
local HISTORY_SECONDS = 3600
local REAP, PROMOTE, TAKE = 20, 20, 100
local now_us = redis_us()
local now_ms = math.floor(now_us / 1000)
local purged_ms = tonumber(redis.call('GET', PURGED) or 0)
local ticks = 0

-- Strictly growing within a script too: an order or a moment that nothing else has.
local function tick()
  ticks = ticks + 1
  return int(now_us + ticks - 1)
end

local function types_ok()
  for _, key in ipairs({ WAITING, BYTES, LEASES, DELAYED, RETRY, DEAD }) do
    if not is_type(key, 'zset') then return false end
  end
  return is_type(W, 'list') and is_type(SIZE, 'string') and is_type(DEDUPE, 'hash')
end

local function job_key(id) return W .. ':job:' .. id end

-- The fields of a record. Nil when there is none, when somebody put another kind of value there, and when the project was
-- purged since, though the sweep has not come to it.
local function job(id, ...)
  local fields = redis.pcall('HMGET', job_key(id), 'created_ms', 'state', ...)
  if fields.err or not fields[2] or tonumber(fields[1]) < purged_ms then return nil end
  table.remove(fields, 1)
  return fields
end

local function shrink(bytes)
  if redis.call('DECRBY', SIZE, bytes) <= 0 then redis.call('DEL', SIZE) end
end

local function index(raw, order, id)
  return redis.sha1hex(raw) .. ':' .. order .. ':' .. id
end

-- The order of a job at the tail: beyond all that wait there, also when the clock has stepped back.
local tail
local function tail_order()
  tail = tail or tonumber(redis.call('ZRANGE', WAITING, -1, -1, 'WITHSCORES')[2] or 0)
  tail = math.max(tail + 1, tonumber(tick()))
  return int(tail)
end

local function push_waiting(id, raw, order)
  redis.call('RPUSH', W, raw)
  redis.call('ZADD', WAITING, order, id)
  redis.call('ZADD', BYTES, 0, index(raw, order, id))
end

local function forget_waiting(id, raw, order)
  redis.call('ZREM', WAITING, id)
  redis.call('ZREM', BYTES, index(raw, order, id))
end

-- A job is over: its bytes are freed, its dedupe key too; the record stays as history.
local function finish(id, state, ...)
  local key = job_key(id)
  local kept = redis.call('HMGET', key, 'raw', 'dedupe')
  shrink(#(kept[1] or ''))
  if kept[2] and redis.call('HGET', DEDUPE, kept[2]) == id then redis.call('HDEL', DEDUPE, kept[2]) end
  redis.call('HDEL', key, 'raw', 'dedupe')
  redis.call('HSET', key, 'state', state, 'finished_ms', int(now_ms), ...)
  redis.call('EXPIRE', key, HISTORY_SECONDS)
end

-- Kept for a person: the bytes stay, the dedupe key is free again.
local function bury(id, message)
  local key = job_key(id)
  local dedupe = redis.call('HGET', key, 'dedupe')
  if dedupe and redis.call('HGET', DEDUPE, dedupe) == id then redis.call('HDEL', DEDUPE, dedupe) end
  redis.call('HDEL', key, 'dedupe', 'token')
  redis.call('HSET', key, 'state', 'dead', 'error', message)
  redis.call('ZADD', DEAD, tick(), id)
end

-- Back to the head, by its original order: older than everything that waits in W.
local function to_retry(id, order)
  redis.call('HDEL', job_key(id), 'token')
  redis.call('HSET', job_key(id), 'state', 'waiting')
  redis.call('ZADD', RETRY, order, id)
end

-- Jobs that others popped: W is shorter than what we believe is in it, or a younger one was reached first.
local function mark_taken(ids)
  for _, id in ipairs(ids) do
    local fields = job(id, 'raw', 'order')
    if fields then
      forget_waiting(id, fields[2], fields[3])
      finish(id, 'taken')
    else
      redis.call('ZREM', WAITING, id)
    end
  end
end

-- Consumers that only pop never run a script: whoever adds or looks finds out for them, or their bytes would count for ever.
local function reap()
  local excess = redis.call('ZCARD', WAITING) - redis.call('LLEN', W)
  if excess > 0 then mark_taken(redis.call('ZRANGE', WAITING, 0, math.min(excess, TAKE) - 1)) end
end

-- Brings the places up to date; bounded. Returns what its caller must tell: how many leases expired and went to their
-- retry, then id and operation ('' for none) of each job whose last lease it was.
local function settle()
  local report = { 0 }
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', LEASES, '-inf', int(now_ms), 'LIMIT', 0, REAP)) do
    redis.call('ZREM', LEASES, id)
    local fields = job(id, 'attempts', 'max', 'order', 'operation')
    if fields and fields[1] == 'cancelled' then
      finish(id, 'cancelled')
    elseif fields and tonumber(fields[2]) >= tonumber(fields[3]) then
      bury(id, 'lease expired')
      report[#report + 1] = id
      report[#report + 1] = fields[5] or ''
    elseif fields then
      to_retry(id, fields[4])
      report[1] = report[1] + 1
    end
  end
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', DELAYED, '-inf', int(now_ms), 'LIMIT', 0, PROMOTE)) do
    redis.call('ZREM', DELAYED, id)
    local fields = job(id, 'attempts', 'order', 'raw')
    if fields and tonumber(fields[2]) > 0 then
      to_retry(id, fields[3])
    elseif fields then
      local order = tail_order()
      redis.call('HSET', job_key(id), 'state', 'waiting', 'order', order)
      push_waiting(id, fields[4], order)
    end
  end
  reap()
  return report
end

-- The next moment (ms) at which settle() has something to do by itself; -1 when there is none.
local function next_due()
  local due = -1
  for _, key in ipairs({ DELAYED, LEASES }) do
    local head = redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')[2]
    if head and (due < 0 or tonumber(head) < due) then due = tonumber(head) end
  end
  return int(due)
end
