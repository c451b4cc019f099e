-- Floors of a bucket: how low it has stood since each of its holds was made. A hold weighs in the bucket no more than that: had
-- it not been made, the bucket would have been full there, and what flows into a full bucket is lost. Were more given back,
-- tokens that have been refilled meanwhile would come twice.
-- Kept behind the bucket's doubles: eight bytes that name the history, the number of its last hold, and then numbers of holds
-- with the lowest level since, both ascending. A bucket that has been full has none, and begins a new history.
local FLOORS = 32

-- The floors after the bucket has stood at `level`.
local function lower_floors(floors, level)
  if level <= 0 then return nil end
  local at, number = #floors - 15, nil
  while at > 16 do
    local first, low = struct.unpack('<dd', floors, at)
    if low <= level then break end
    number, at = first, at - 16
  end
  return number and string.sub(floors, 1, at + 15) .. struct.pack('<dd', number, level) or floors
end

-- The floors from a new hold on, and the mark by which it finds its own. When there are too many, holds come under the next
-- older floor, which is no higher.
local function add_floor(floors, level, id)
  local name, last, older = string.format('%-8.8s', id), 1, ''
  if floors then
    name, last, older = string.sub(floors, 1, 8), struct.unpack('<d', floors, 9) + 1, string.sub(floors, 17)
  end
  if #older >= 16 * FLOORS then
    local fewer = {}
    for at = 1, #older, 32 do fewer[#fewer + 1] = string.sub(older, at, at + 15) end
    older = table.concat(fewer)
  end
  return name .. struct.pack('<d', last) .. older .. struct.pack('<dd', last, level), name .. int(last)
end

-- Where the floor of a mark stands, and how low it is: 0 for a mark of another history.
local function floor_of(floors, mark)
  if not floors or string.sub(floors, 1, 8) ~= string.sub(mark, 1, 8) then return 1, 0 end
  local number, at = tonumber(string.sub(mark, 9)), #floors - 15
  while at > 16 do
    local first, low = struct.unpack('<dd', floors, at)
    if first <= number then return at, low end
    at = at - 16
  end
  return 1, 0
end

-- The floors as they would be had the hold whose floor stands at `own` taken so much less: it then never stood as high.
local function sink_floors(floors, own, low, less)
  local sunk = { string.sub(floors, 1, 16) }
  for at = 17, #floors, 16 do
    local number, level = struct.unpack('<dd', floors, at)
    sunk[#sunk + 1] = struct.pack('<dd', number, math.max(0, at < own and math.min(level, low - less) or level - less))
  end
  return table.concat(sunk)
end
