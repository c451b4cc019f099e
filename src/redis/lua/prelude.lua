-- Prelude of every mutating script: Redis time, the not-after, and the type check before the first write.
local function redis_us()
  local t = redis.call('TIME')
  return t[1] * 1000000 + t[2]
end

-- True when a frozen Redis runs the call after its caller gave up; the script then returns LATE and does nothing.
local function late(now_ms)
  return now_ms > tonumber(ARGV[1])
end

local LATE = { err = 'LATE the call came after its deadline' }
local WRONGTYPE = { err = 'WRONGTYPE a key holds a value of another kind' }

-- Scripts do not roll back, so each key that will be written is looked at first. 'none' is welcome.
local function is_type(key, kind)
  local found = redis.call('TYPE', key).ok
  return found == kind or found == 'none'
end

-- Whole numbers beyond 14 digits lose digits in tostring and '..'.
local function int(x)
  return string.format('%.0f', x)
end
