-- Which jobs at the head of the list may be leased just as they stand; only reads. `whole` when the queue is in a state
-- that only the lease script deals with: tasks of others, retries, something due, paused, strict.
local whole, take, bytes, weight, later = false, 0, 0, '1', nil
local sets, taken, lines = {}, {}, {}
if call('EXISTS', DELAYED, RETRY, DEAD, SETTINGS) > 0 then
  local settings = call('HMGET', SETTINGS, 'paused', 'order', 'weight')
  later, weight = call('ZRANGE', DELAYED, '0', '0', 'WITHSCORES')[2], settings[3] or '1'
  whole = call('ZCARD', RETRY) > 0 or call('ZCARD', DEAD) >= tonumber(max_dead) or settings[1] or settings[2] == 'strict'
    or later and later + 0 <= now_ms
end
local oldest, leases = call('ZRANGE', LEASES, '0', '1', 'WITHSCORES'), call('ZCARD', LEASES)
local list, waiting = call('LLEN', W), call('LLEN', WAITING)
-- One that ends in this script is no lease any more.
local first_due = oldest[gone and oldest[1] == gone and 4 or 2]
if first_due and first_due + 0 <= now_ms or list ~= waiting and (list < waiting or waiting == 0) then whole = true end
wanted = math.min(wanted, max_leased - leases + (gone and 1 or 0), list)
local deadline = now_ms + lease_ms
if not whole and wanted > 0 then
  local entries = call('LRANGE', WAITING, '0', wanted > 1 and wanted - 1 or '0')
  local keys = {}
  for i = 1, #entries do keys[i] = W .. ':job:' .. string.sub(entries[i], 41) end
  local records = call('MGET', unpack(keys))
  for i = 1, #entries do
    local raw = call('LINDEX', W, i - 1)
    bytes = bytes + #raw
    if bytes > 1048576 and i > 1 then break end
    whole = not records[i] or redis.sha1hex(raw) ~= string.sub(entries[i], 1, 40)
    if whole then break end
    local _, attempts, max, order, created, size, _, extra = struct.unpack('<c1BBddI4Bc0I2c0', records[i])
    local id = string.sub(entries[i], 41)
    attempts, take = attempts + 1, i
    sets[2 * i - 1] = keys[i]
    sets[2 * i] = struct.pack('<c1BBddI4Bc0I2c0', 'l', attempts, max, order, created, size, #token, token, #extra, extra) .. raw
    taken[2 * i - 1], taken[2 * i] = deadline, id
    local at, operation = 6 * i, extra ~= '' and cmsgpack.unpack(extra).operation or ''
    lines[at - 5], lines[at - 4], lines[at - 3], lines[at - 2], lines[at - 1], lines[at] =
      id, attempts, raw, operation, deadline, created
  end
  whole = whole or #entries < wanted
end
