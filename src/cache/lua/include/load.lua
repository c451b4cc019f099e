-- A load under way: its lease says who may store, in which epoch, and what stood there when it began. Needs the prelude, and
-- KEYS as in lease.lua.
local function sound()
  return is_type(KEYS[1], 'string') and is_type(KEYS[2], 'hash') and is_type(KEYS[4], 'string') and is_type(KEYS[5], 'string')
end

-- The number of the project's epoch, and the same again while it is dirty; nothing where the mark is missing.
local function epoch_now()
  local mark = redis.call('GET', KEYS[1]) or ''
  return string.match(mark, ':(%d+)$'), string.match(mark, '^dirty:(%d+)$')
end

-- Digest of what stands at the value's key, '' for nothing. A value of another kind counts as nothing.
local function standing()
  if redis.call('TYPE', KEYS[3]).ok ~= 'string' then return '' end
  local value = redis.call('GET', KEYS[3])
  return value == '' and '' or redis.sha1hex(value .. '\n' .. (redis.call('GET', KEYS[4]) or ''))
end

-- Whether the lease is this token's; whether nobody has invalidated, deleted or written the entry since it was given; and 1 if
-- others wait for the end of the load, also when that can no longer be known, else 0.
local function undisturbed(token, epoch)
  local pattern = '^(%S+) (%d+) (%x*)( ?w?)$'
  local holder, of_epoch, digest, waited = string.match(redis.call('GET', KEYS[5]) or '', pattern)
  if holder ~= token then return false, false, 1 end
  return true, of_epoch == epoch and digest == standing(), waited == ' w' and 1 or 0
end
