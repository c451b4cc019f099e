-- Ends what end-look found: the bytes are freed, the records stay as history. `refused` is an error of the first two writes,
-- which look at what they write: then nothing was done.
if over > 0 then
  local history, size = redis.pcall('RPUSH', HISTORY, unpack(ended)), nil
  if type(history) == 'number' then
    size = redis.pcall('DECRBY', SIZE, freed)
    if type(size) ~= 'number' then call('RPOP', HISTORY, over) end
  end
  if type(size) == 'number' then
    if size <= 0 then call('DEL', SIZE) end
    call('ZREM', LEASES, unpack(ended))
    for i = 1, 2 * over, 2 do call('SETEX', records[i], '3600', records[i + 1]) end
    if garbage then call('UNLINK', unpack(garbage)) end
    if dedupes then call('HDEL', DEDUPE, unpack(dedupes)) end
-- @include "./history"
  else
    refused = size or history
  end
end
