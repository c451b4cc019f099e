-- Calendar windows in UTC, from Redis time in seconds. Months by the day algorithms of H. Hinnant (civil_from_days), exact
-- for every date.
local KINDS = { 'minute', 'hour', 'day', 'month' }
local SECONDS = { 60, 3600, 86400 }

local function month_start(seconds)
  local days = math.floor(seconds / 86400)
  local doe = (days + 719468) % 146097
  local yoe = math.floor((doe - math.floor(doe / 1460) + math.floor(doe / 36524) - math.floor(doe / 146096)) / 365)
  local doy = doe - (365 * yoe + math.floor(yoe / 4) - math.floor(yoe / 100))
  local month = math.floor((5 * doy + 2) / 153)
  return (days - doy + math.floor((153 * month + 2) / 5)) * 86400
end

local function window_starts(seconds)
  return { seconds - seconds % 60, seconds - seconds % 3600, seconds - seconds % 86400, month_start(seconds) }
end

local function window_end(kind, start)
  if kind == 4 then return month_start(start + 31 * 86400) end
  return start + SECONDS[kind]
end
