-- Takes the jobs at the head of both lists that may be leased just as they stand, and appends what is said of them to
-- `reply`. `whole` when the queue is in a state that only the whole scripts deal with (tasks of others, retries, something
-- due, paused, strict), `refused` is an error: then head-back puts back what was taken. `unusual`: a key exists that seldom
-- does; `oldest` is the lease that ends first; `over` is how many end in this script.
local whole, weight, later = false, '1', nil
if unusual then
  local settings = call('HMGET', SETTINGS, 'paused', 'order', 'weight')
  later, weight = call('ZRANGE', DELAYED, '0', '0', 'WITHSCORES')[2], settings[3] or '1'
  whole = call('ZCARD', RETRY) > 0 or call('ZCARD', DEAD) >= max_dead or settings[1] or settings[2] == 'strict'
    or later and later + 0 <= now_ms
end
local due, deadline, entries, raws, at = oldest[2] and oldest[2] + 0 or -1, now_ms + lease_ms, {}, {}, #reply + 2
if oldest[2] and due <= now_ms then whole = true end
if later and (due < 0 or later + 0 < due) then due = later + 0 end
reply[at - 1], reply[at] = due, weight
wanted = math.min(wanted, max_leased - call('ZCARD', LEASES) + over)
if not whole and wanted > 0 then
  -- The lists' lengths need not be compared: where others popped, the heads differ, or are equal bytes, which are as good; and
  -- the last jobs find an empty list. Without a number LPOP answers no list, which is cheaper.
  if wanted == 1 then entries[1] = call('LPOP', WAITING) or nil else entries = call('LPOP', WAITING, wanted) or entries end
  whole = not entries[1] and call('LLEN', W) > 0
end
-- A number is written in decimal at each command that it goes to, which costs as much as the command.
local sets, taken, take, moves, deadline_text = { '', '' }, { '', '' }, 0, nil, string.format('%.0f', deadline)
-- From here on an error would lose what was taken, so nothing may raise one.
if entries[1] then
  local keys, packs, popped = {}, nil, nil
  for i = 1, #entries do keys[i] = W .. ':job:' .. string.sub(entries[i], 41) end
  if wanted == 1 then
    packs, popped = { redis.pcall('GET', keys[1]) }, redis.pcall('LPOP', W)
    raws[1] = type(popped) == 'string' and popped or nil
  else
    packs = call('MGET', unpack(keys))
    -- As many as a reply holds, by the sizes in their records; where all do, one more tells whether others' tasks follow.
    local bytes, fit = 0, 0
    for i = 1, #entries do
      bytes = bytes + (packs[i] and #packs[i] > 23 and struct.unpack('<I4', packs[i], 20) or 0)
      if bytes > 1048576 and i > 1 then break end
      fit = i
    end
    popped = redis.pcall('LPOP', W, fit < #entries and fit or math.min(fit + 1, wanted))
    for i = #entries, fit + 1, -1 do call('LPUSH', WAITING, table.remove(entries)) end
    if popped and not popped.err then raws = popped end
  end
  refused = type(popped) == 'table' and popped.err and popped
  whole = #raws ~= #entries
  for i = 1, whole and 0 or #raws do
    local entry, raw = entries[i], raws[i]
    local known, _, attempts, max, order, created, size, _, extra = pcall(struct.unpack, '<c1BBddI4Bc0I2c0', packs[i])
    whole = not known or string.find(entry, redis.sha1hex(raw), 1, true) ~= 1
    if whole then break end
    -- Jobs of one script may go to several callers: each has a token of its own.
    local its, id, operation = token .. string.char(96 + i), string.sub(entry, 41), ''
    if extra ~= '' then
      local _, more = pcall(cmsgpack.unpack, extra)
      operation = type(more) == 'table' and more.operation or ''
    end
    if size > 1024 then
      moves = moves or {}
      moves[#moves + 1], moves[#moves + 2] = keys[i] .. ':raw', raw
    end
    sets[2 * i - 1], sets[2 * i] = keys[i], struct.pack(
      '<c1BBddI4Bc0I2c0c0', 'l', attempts + 1, max, order, created, size, #its, its, #extra, extra, size > 1024 and '' or raw
    )
    taken[2 * i - 1], taken[2 * i] = deadline_text, id
    reply[at + 1], reply[at + 2], reply[at + 3], reply[at + 4], reply[at + 5], reply[at + 6] =
      id, attempts + 1, raw, operation, deadline, created
    take, at = i, at + 6
  end
end
