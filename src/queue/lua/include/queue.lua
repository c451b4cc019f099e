-- What all scripts of a queue share: names, the look at every place, job records, the moves between the places of a job.
-- A job is in exactly one place: W and `waiting` (with `bytes`), `delayed`, `retry`, `leases`, `dead`, or its record only.
-- Its bytes are in one place too: in W while it waits there, else in a list of one beside its record; LMOVE brings them
-- from one to the other, so that they are never written twice.
local W, WAITING, BYTES, LEASES, DELAYED, RETRY, DEAD, SIZE, DEDUPE, HISTORY, WAKE, PURGED =
  unpack(KEYS, 1, 12)
local HISTORY_SECONDS, HISTORY_JOBS, HISTORY_TRIM = 3600, 10000, 5
local REAP, PROMOTE, TAKE = 20, 20, 100
local call = redis.call
local now_us = redis_us()
local now_ms = math.floor(now_us / 1000)
local purged_ms = tonumber(call('GET', PURGED) or 0)
local ticks = 0
local freed = 0
local n

-- Looks at every place before the first write: a value of another kind ends the script here (WRONGTYPE), for a third of
-- the cost of asking for types, and what is read is needed anyway.
local function survey()
  local size = call('GET', SIZE) or '0'
  n = {
    list = call('LLEN', W), waiting = call('ZCARD', WAITING), leases = call('ZCARD', LEASES), retry = call('ZCARD', RETRY),
    delayed = call('ZCARD', DELAYED), dead = call('ZCARD', DEAD), history = call('LLEN', HISTORY), size = tonumber(size),
  }
  call('ZCARD', BYTES)
  call('HLEN', DEDUPE)
  return n.size ~= nil
end

-- Strictly growing within a script too: an order or a moment that nothing else has.
local function tick()
  ticks = ticks + 1
  return int(now_us + ticks - 1)
end

-- An order behind everything that waits, also when the clock stepped back.
local function tail_order()
  local last = call('ZRANGE', WAITING, -1, -1, 'WITHSCORES')[2]
  if last and tonumber(last) >= now_us + ticks then now_us = tonumber(last) + 1 end
  return tick()
end

local function job_key(id) return W .. ':job:' .. id end

local function raw_key(id) return W .. ':job:' .. id .. ':raw' end

-- The fields of a record. Nil when there is none, when somebody put another kind of value there, and when the project was
-- purged since, though the sweep has not come to it.
local function job(id, ...)
  local fields = redis.pcall('HMGET', job_key(id), 'created_ms', 'state', ...)
  if fields.err or not fields[2] or tonumber(fields[1] or 0) < purged_ms then return nil end
  table.remove(fields, 1)
  return fields
end

local function index(sha, order, id) return sha .. ':' .. order .. ':' .. id end

-- From beside its record to the tail of W.
local function push_waiting(id, sha, order)
  call('LMOVE', raw_key(id), W, 'LEFT', 'RIGHT')
  call('ZADD', WAITING, order, id)
  call('ZADD', BYTES, 0, index(sha, order, id))
end

local function forget_waiting(id, sha, order)
  call('ZREM', WAITING, id)
  call('ZREM', BYTES, index(sha, order, id))
end

local function free_dedupe(id, dedupe)
  if dedupe and call('HGET', DEDUPE, dedupe) == id then call('HDEL', DEDUPE, dedupe) end
end

-- A job is over: its bytes are freed, its dedupe key too; the record stays as history, for a time and up to a number.
local function finish(id, state, dedupe, ...)
  local key = job_key(id)
  freed = freed + (call('HGET', key, 'size') or 0)
  free_dedupe(id, dedupe)
  call('UNLINK', raw_key(id))
  call('HDEL', key, 'size', 'sha', 'dedupe', 'token')
  call('HSET', key, 'state', state, 'finished_ms', int(now_ms), ...)
  call('EXPIRE', key, HISTORY_SECONDS)
  n.history = call('RPUSH', HISTORY, id)
end

-- Once at the end of a script that may have finished jobs.
local function close()
  if freed == 0 then return end
  n.size = call('DECRBY', SIZE, freed)
  if n.size <= 0 then call('DEL', SIZE) end
  freed = 0
  for _ = 1, math.min(n.history - HISTORY_JOBS, HISTORY_TRIM) do call('UNLINK', job_key(call('LPOP', HISTORY))) end
  call('EXPIRE', HISTORY, HISTORY_SECONDS)
end

-- Kept for a person: the bytes stay, the dedupe key is free again.
local function bury(id, message)
  local key = job_key(id)
  free_dedupe(id, call('HGET', key, 'dedupe'))
  call('HDEL', key, 'dedupe', 'token')
  call('HSET', key, 'state', 'dead', 'error', message)
  call('ZADD', DEAD, tick(), id)
end

-- Back to the head, by its original order: older than everything that waits in W.
local function to_retry(id, order)
  call('HDEL', job_key(id), 'token')
  call('HSET', job_key(id), 'state', 'waiting')
  call('ZADD', RETRY, order, id)
end
