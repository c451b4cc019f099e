-- The rules as the caller writes them: '<minute>/<hour>/<day>/<month>/<bucket limit>/<its window in s>/<dry: 1 or 0>', empty
-- where there is none.
local function read_rules(text)
  local minute, hour, day, month, limit, window, dry = string.match(text, '^(%d*)/(%d*)/(%d*)/(%d*)/(%d*)/(%d*)/(%d)$')
  return {
    caps = { tonumber(minute), tonumber(hour), tonumber(day), tonumber(month) },
    limit = tonumber(limit), window = tonumber(window), dry = dry == '1',
  }
end

-- Returns used, held and the kinds' words. A cell without them is a whole number.
local function parse_cell(value)
  local plain = tonumber(value)
  if plain then return plain, 0, '' end
  local used, held, kinds = string.match(value, '^(%d+)%+?(%d*)(.*)$')
  if not used then error(WRONGTYPE) end
  return tonumber(used), tonumber(held) or 0, kinds
end

-- 'input=5 output=2' added to a cell's words.
local function add_kinds(words, added)
  for kind, count in string.gmatch(added, '(%S+)=(%d+)') do
    local before
    words = string.gsub(words, ' (%S+)=(%d+)', function(name, sum)
      if name ~= kind then return nil end
      before = true
      return ' ' .. name .. '=' .. int(sum + count)
    end)
    if not before then words = words .. ' ' .. kind .. '=' .. count end
  end
  return words
end
