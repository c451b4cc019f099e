-- Which of the jobs in ARGV[first..last] (three each: job, token, result) their callers hold; only reads. `endings` gets for
-- each its state and operation in one word: `o` done, `c` cancelled, `s` stale token.
local ended, keys, records, freed, dedupes, seen = {}, {}, {}, 0, nil, nil
for i = first, last, 3 do
  local id, token = ARGV[i], ARGV[i + 1]
  local key = W .. ':job:' .. id
  local packed = redis.pcall('GETRANGE', key, '0', '8191')
  local ending = 's'
  if type(packed) == 'string' and packed ~= '' then
    local state, attempts, max, _, created, size, held, extra = struct.unpack('<c1BBddI4Bc0I2c0', packed)
    if held == token and token ~= '' then
      local deadline = call('ZSCORE', LEASES, id)
      if seen and seen[id] then
        ending = seen[id]
      elseif not deadline then
        -- Its reply was lost: it is answered once more.
        if state == 'o' or state == 'c' then ending = state end
      elseif deadline + 0 > now_ms then
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
        if first + 3 < last then
          seen = seen or {}
          seen[id] = state
        end
        local e = #ended + 1
        freed = freed + size
        ended[e], keys[e] = id, key
        records[e] = struct.pack('<c1BBddI4Bc0I2c0', state, attempts, max, now_ms, created, 0, #token, token, #extra, extra)
          .. (state == 'o' and ARGV[i + 2] or '')
      end
    end
  end
  endings[#endings + 1] = ending
end
