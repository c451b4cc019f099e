-- Appends one event to the log and to the state of its operation, and tells the hubs. For publish, finish, ingest and lose,
-- which share KEYS[1..7] and ARGV[1..12]; see publish.lua for their meaning. Needs prelude, open-log and pace.
local TERMINAL = { completed = true, failed = true, cancelled = true }
local OPERATION_TTL = 86400
local MAX_OPERATIONS = 1000
local MAX_TEXT = 1048576

-- Retention by number, bytes and age. At most 500 events a call, so that the cost of one publish stays bounded.
local function trim(now_ms, seq, count, bytes, oldest_at)
  local max, cap, since = tonumber(ARGV[4]), tonumber(ARGV[5]), now_ms - tonumber(ARGV[6]) * 1000
  if count <= max and bytes <= cap and oldest_at >= since then return bytes, oldest_at end
  local first = seq - count + 1
  local keep = first
  while keep < seq and keep < first + 500 do
    local at = int(keep) .. '-0'
    local fields = redis.call('XRANGE', KEYS[2], at, at)[1][2]
    oldest_at = tonumber(fields[8])
    if seq - keep < max and bytes <= cap and oldest_at >= since then break end
    bytes = bytes - #fields[2]
    keep = keep + 1
  end
  if keep > first then redis.call('XTRIM', KEYS[2], 'MINID', int(keep) .. '-0') end
  return bytes, oldest_at
end

-- Output of the operation: `off` is where the producer puts `text`, in bytes. What is stored already is not stored again;
-- beyond the cap only the length goes on, cut where a character begins.
local function append_text(text, off, length)
  local rest = string.sub(text, length - off + 1)
  if rest == '' then return end
  local room = MAX_TEXT - length
  redis.call('HSET', KEYS[5], 'text_length', int(length + #rest))
  if #rest > room then
    while room > 0 and string.byte(rest, room + 1) >= 0x80 and string.byte(rest, room + 1) < 0xC0 do room = room - 1 end
    redis.call('HSET', KEYS[5], 'text_truncated', 1)
  end
  if room > 0 then redis.call('APPEND', KEYS[6], string.sub(rest, 1, room)) end
  redis.call('EXPIRE', KEYS[6], OPERATION_TTL)
end

local function forget_oldest_operations()
  local excess = math.min(redis.call('ZCARD', KEYS[3]) - MAX_OPERATIONS, 10)
  if excess <= 0 then return end
  -- 'proj:<p>:progress:ops' → 'proj:<p>:progress:op:<id>'
  local prefix = string.sub(KEYS[3], 1, -2) .. ':'
  for _, id in ipairs(redis.call('ZRANGE', KEYS[3], 0, excess - 1)) do
    redis.call('UNLINK', prefix .. id, prefix .. id .. ':text')
    redis.call('ZREM', KEYS[3], id)
    redis.call('ZREM', KEYS[4], id)
  end
end

local function update_operation(now_us, event_id, restarted, length, off, first_field)
  local operation, status, now = ARGV[8], ARGV[9], math.floor(now_us / 1000)
  local pace = pace_of(KEYS[5], now, restarted, first_field)
  if restarted then redis.call('UNLINK', KEYS[5], KEYS[6]) end
  local lost_at = (ARGV[12] == '' or TERMINAL[status]) and '' or int(now + tonumber(ARGV[12]))
  redis.call('HSET', KEYS[5], 'status', status, 'updated_at', int(now), 'event_id', event_id, 'lost_at', lost_at,
    unpack(ARGV, first_field))
  if #pace > 0 then redis.call('HSET', KEYS[5], unpack(pace)) end
  redis.call('HSETNX', KEYS[5], 'started_at', int(now))
  if off then append_text(ARGV[10], off, length) end
  redis.call('ZADD', KEYS[3], now_us, operation)
  if lost_at == '' then redis.call('ZREM', KEYS[4], operation) else redis.call('ZADD', KEYS[4], lost_at, operation) end
  forget_oldest_operations()
  for i = 3, 5 do redis.call('EXPIRE', KEYS[i], OPERATION_TTL) end
end

-- Returns the event's id and the event, or nil and the length of the text when `off` would leave a hole in it.
-- With `lenient` such text is only left out of the state: who published it cannot be told.
local function append(now_us, first_field, lenient)
  -- Every key is read before the first write, so that a value of another kind stops the script while nothing has changed.
  local record = redis.call('HMGET', KEYS[1], 'bytes', 'oldest_at')
  redis.call('ZCARD', KEYS[3])
  redis.call('ZCARD', KEYS[4])
  local state = redis.call('HMGET', KEYS[5], 'status', 'text_length')
  redis.call('STRLEN', KEYS[6])
  redis.call('XLEN', KEYS[2])

  local restarted = ARGV[9] == 'started'
  -- A terminal state stays until the operation is started again.
  local over = TERMINAL[state[1]] and not restarted
  local length = not restarted and tonumber(state[2]) or 0
  local off = not over and tonumber(ARGV[11]) or nil
  if off and off > length then
    if not lenient then return nil, int(length) end
    off = nil
  end

  local now_ms = math.floor(now_us / 1000)
  local epoch, last = open_log(KEYS[1], KEYS[2], ARGV[2], ARGV[3])
  local seq = last + 1
  local id = epoch .. '-' .. int(seq)
  local event = ARGV[7] .. ',"id":"' .. id .. '"}'
  local ends = ARGV[8] ~= '' and TERMINAL[ARGV[9]] and not over and '1' or ''
  redis.call('XADD', KEYS[2], int(seq) .. '-0', 'e', event, 'o', ARGV[8], 'x', ends, 't', int(now_ms))
  local count = redis.call('XLEN', KEYS[2])
  local alone = count == 1
  local bytes = (not alone and tonumber(record[1]) or 0) + #event
  local oldest_at = not alone and tonumber(record[2]) or now_ms
  bytes, oldest_at = trim(now_ms, seq, count, bytes, oldest_at)
  redis.call('HSET', KEYS[1], 'seq', int(seq), 'bytes', int(bytes), 'oldest_at', int(oldest_at))
  redis.call('EXPIRE', KEYS[2], ARGV[6])
  redis.call('EXPIRE', KEYS[1], math.ceil(ARGV[6] * 1.25))
  if ARGV[8] ~= '' and not over then update_operation(now_us, id, restarted, length, off, first_field) end
  redis.call('PUBLISH', KEYS[7], id .. ' ' .. ARGV[8] .. ' ' .. ends .. ' ' .. event)
  return id, event
end
