-- Which jobs at the head of the list may be leased just as they stand; only reads. `whole` when the queue is in a state
-- that only the whole scripts deal with: tasks of others, retries, something due, paused, strict. `oldest` is the lease
-- that ends first, `over` is how many end in this script.
local whole, take, bytes, weight, later = false, 0, 0, '1', nil
if call('EXISTS', DELAYED, RETRY, DEAD, SETTINGS) > 0 then
  local settings = call('HMGET', SETTINGS, 'paused', 'order', 'weight')
  later, weight = call('ZRANGE', DELAYED, '0', '0', 'WITHSCORES')[2], settings[3] or '1'
  whole = call('ZCARD', RETRY) > 0 or call('ZCARD', DEAD) >= max_dead or settings[1] or settings[2] == 'strict'
    or later and later + 0 <= now_ms
end
local first_due = oldest[2]
local list, waiting, room = call('LLEN', W), call('LLEN', WAITING), max_leased - call('ZCARD', LEASES) + over
if first_due and first_due + 0 <= now_ms or list < waiting or list > 0 and waiting == 0 then whole = true end
if wanted > room then wanted = room end
if wanted > list then wanted = list end
local deadline = now_ms + lease_ms
-- A number is written in decimal at each command that it goes to, which costs as much as the command.
local deadline_text = string.format('%.0f', deadline)
local sets, taken, jobs = {}, {}, {}
local moves
if not whole and wanted > 0 then
  local entries = wanted == 1 and { call('LINDEX', WAITING, '0') } or call('LRANGE', WAITING, '0', wanted - 1)
  local ids, keys, fit, packs, raws = {}, {}, 1, nil, nil
  for i = 1, #entries do
    ids[i] = string.sub(entries[i], 41)
    keys[i] = W .. ':job:' .. ids[i]
  end
  if wanted == 1 then
    packs, raws = { redis.pcall('GET', keys[1]) }, { call('LINDEX', W, '0') }
  else
    packs = call('MGET', unpack(keys))
    -- As many as a reply holds, by the sizes in their records.
    for i = 1, #packs do
      bytes = bytes + (packs[i] and struct.unpack('<I4', packs[i], 20) or 0)
      if bytes > 1048576 and i > 1 then break end
      fit = i
    end
    raws = call('LRANGE', W, '0', fit - 1)
  end
  for i = 1, fit do
    local key, id, packed, raw = keys[i], ids[i], packs[i], raws[i]
    whole = type(packed) ~= 'string' or string.find(entries[i], redis.sha1hex(raw), 1, true) ~= 1
    if whole then break end
    local _, attempts, max, order, created, size, _, extra = struct.unpack('<c1BBddI4Bc0I2c0', packed)
    attempts, take, sets[2 * i - 1] = attempts + 1, i, key
    -- Jobs of one script may go to several callers: each has a token of its own.
    local its = token .. string.char(96 + i)
    if size > 1024 then
      moves = moves or {}
      moves[i] = key .. ':raw'
    end
    sets[2 * i] = struct.pack(
      '<c1BBddI4Bc0I2c0c0', 'l', attempts, max, order, created, size, #its, its, #extra, extra, size > 1024 and '' or raw
    )
    taken[2 * i - 1], taken[2 * i] = deadline_text, id
    jobs[i] = { id, attempts, raw, extra ~= '' and cmsgpack.unpack(extra).operation or '', deadline, created }
  end
  whole = whole or #entries < wanted
end
