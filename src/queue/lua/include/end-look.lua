-- Which of the jobs in ARGV[first..last] (three each: job, token, result) their callers hold; only reads. `endings` gets for
-- each its state and operation in one word: `o` done, `c` cancelled; `r` over by the same token before, `s` stale token.
-- `held_jobs`: how many are not stale. `purged_ms` is the moment of a purge, if there was one; `oldest` is the lease that
-- ends first, if that was asked.
local over, held_jobs, freed, ended, records, garbage, dedupes, seen = 0, 0, 0, { 0 }, { 0, 0 }, nil, nil, nil
-- Where not even the oldest lease has expired, none has: their records say which jobs are leased.
local all_held = oldest[1] and oldest[2] + 0 > now_ms
local keys, packs = { '' }, nil
for i = first, last, 3 do keys[(i - first) / 3 + 1] = W .. ':job:' .. ARGV[i] end
if keys[2] then packs = call('MGET', unpack(keys)) else packs = { redis.pcall('GET', keys[1]) } end
for i = first, last, 3 do
  local nth, id, token, ending = (i - first) / 3 + 1, ARGV[i], ARGV[i + 1], 's'
  local key, packed = keys[nth], packs[nth]
  if type(packed) == 'string' then
    local state, attempts, max, _, created, size, held, extra = struct.unpack('<c1BBddI4Bc0I2c0', packed)
    if held ~= token or token == '' or purged_ms and created < purged_ms + 0 then
      ending = 's'
    elseif seen and seen[id] then
      ending = 'r'
    elseif size == 0 then
      -- It is over, and the reply was lost.
      if state == 'o' or state == 'c' then ending = 'r' end
    elseif (state == 'l' or state == 'c') and (all_held or (call('ZSCORE', LEASES, id) or 0) + 0 > now_ms) then
      if state == 'l' then state = 'o' end
      ending = state
      if extra ~= '' then
        local more = cmsgpack.unpack(extra)
        if more.operation then ending = state .. more.operation end
        if more.dedupe and call('HGET', DEDUPE, more.dedupe) == id then
          dedupes = dedupes or {}
          dedupes[#dedupes + 1] = more.dedupe
        end
      end
      if keys[2] then
        seen = seen or {}
        seen[id] = true
      end
      if size > 1024 then
        garbage = garbage or {}
        garbage[#garbage + 1] = key .. ':raw'
      end
      over, freed = over + 1, freed + size
      ended[over] = id
      records[2 * over - 1] = key
      records[2 * over] = struct.pack(
        '<c1BBddI4Bc0I2c0c0', state, attempts, max, now_ms, created, 0, #token, token, #extra, extra,
        state == 'o' and ARGV[i + 2] or ''
      )
    end
  end
  if ending ~= 's' then held_jobs = held_jobs + 1 end
  endings[nth] = ending
end
