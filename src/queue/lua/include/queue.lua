-- What all scripts of a queue share: names, the look at every place, job records, the moves between the places of a job.
-- A job is in exactly one place: W and `waiting`, `delayed`, `retry`, `leases`, `dead`, or its record only. Its bytes are in
-- one place too: in W while it waits there, else at the end of its record, or when they are long in a list of one beside it:
-- LMOVE brings them from one list to the other, so that they are never written twice.
local W, WAITING, LEASES, DELAYED, RETRY, DEAD, SIZE, DEDUPE, HISTORY, WAKE, PURGED = unpack(KEYS, 1, 11)
local PROMOTE, REAP, TAKE = 20, 20, 100
local call = redis.call
local now_us = redis_us()
local now_ms = math.floor(now_us / 1000)
local purged_ms = tonumber(call('GET', PURGED) or 0)
local ticks, freed, over = 0, 0, 0
local n

-- Looks at every place before the first write: a value of another kind ends the script here (WRONGTYPE), for a third of
-- the cost of asking for types, and what is read is needed anyway.
local function survey()
  local size = call('GET', SIZE) or '0'
  n = {
    list = call('LLEN', W), waiting = call('LLEN', WAITING), leases = call('ZCARD', LEASES), retry = call('ZCARD', RETRY),
    delayed = call('ZCARD', DELAYED), dead = call('ZCARD', DEAD), history = call('LLEN', HISTORY), size = tonumber(size),
  }
  call('HLEN', DEDUPE)
  return n.size ~= nil
end

-- Strictly growing within a script too: an order or a moment that nothing else has.
local function tick()
  ticks = ticks + 1
  return now_us + ticks - 1
end

-- A record is one string: state, attempts, max attempts, order (us; of a job that is over: when that was, ms), moment of
-- creation (ms), size of its bytes, token, what few jobs have (MessagePack map or ''), and then its body: the SHA-1 of its
-- bytes while they are in W, its result when it is done, else its bytes when they are short.
-- States: w(aiting), l(eased), d(elayed), x (dead); over: o (done), c(ancelled, also while it is still leased), t(aken).
local RECORD = '<c1BBddI4Bc0I2c0'
local SHORT = 1024

local function job_key(id) return W .. ':job:' .. id end

local function raw_key(id) return W .. ':job:' .. id .. ':raw' end

-- Nil when there is none, when somebody put another kind of value there, and when the project was purged since, though the
-- sweep has not come to it.
local function job(id)
  local packed = redis.pcall('GET', job_key(id))
  if type(packed) ~= 'string' then return nil end
  local j, extra, at = {}, nil, nil
  j.state, j.attempts, j.max, j.order, j.created, j.size, j.token, extra, at = struct.unpack(RECORD, packed)
  if j.created < purged_ms then return nil end
  j.extra = extra == '' and {} or cmsgpack.unpack(extra)
  j.body = string.sub(packed, at)
  return j
end

local function save(id, j, ...)
  local extra = next(j.extra) and cmsgpack.pack(j.extra) or ''
  local head = struct.pack(RECORD, j.state, j.attempts, j.max, j.order, j.created, j.size, #j.token, j.token, #extra, extra)
  call('SET', job_key(id), head .. j.body, ...)
end

-- The bytes of a job that is not in W.
local function bytes_of(id, j)
  return j.size <= SHORT and j.body or call('LINDEX', raw_key(id), 0) or ''
end

-- To the tail of W.
local function push_waiting(id, j)
  local sha = redis.sha1hex(bytes_of(id, j))
  if j.size <= SHORT then call('RPUSH', W, j.body) else call('LMOVE', raw_key(id), W, 'LEFT', 'RIGHT') end
  call('RPUSH', WAITING, sha .. id)
  j.state, j.order, j.token, j.body = 'w', tick(), '', sha
  save(id, j)
end

-- Back to the head, by its original order: older than everything that waits in W.
local function to_retry(id, order)
  call('SETRANGE', job_key(id), 0, 'w')
  call('ZADD', RETRY, order, id)
end

local function free_dedupe(id, j)
  local key = j.extra.dedupe
  if key and call('HGET', DEDUPE, key) == id then call('HDEL', DEDUPE, key) end
  j.extra.dedupe = nil
end

-- A job is over: its bytes are freed, its dedupe key too; the record stays as history, for a time and up to a number.
local function finish(id, j, state, token)
  freed = freed + j.size
  free_dedupe(id, j)
  if j.size > SHORT then call('UNLINK', raw_key(id)) end
  j.state, j.order, j.size, j.token, j.body = state, now_ms, 0, token or '', ''
  save(id, j, 'EX', 3600)
  n.history = call('RPUSH', HISTORY, id)
  over = over + 1
end

-- Once at the end of a script that may have freed bytes.
local function close()
  if freed > 0 then
    n.size = call('DECRBY', SIZE, freed)
    if n.size <= 0 then call('DEL', SIZE) end
    freed = 0
  end
  local history = n.history
-- @include "./history"
  over = 0
end

-- Kept for a person: the bytes stay, the dedupe key is free again.
local function bury(id, j, message)
  free_dedupe(id, j)
  j.extra.error = message
  j.state, j.token = 'x', ''
  save(id, j)
  call('ZADD', DEAD, tick(), id)
end
