-- Ends what end-look found: the bytes are freed, the records stay as history.
if over > 0 then
  -- What is written is looked at first: a value of another kind must end the script before that.
  call('LLEN', HISTORY)
  if call('DECRBY', SIZE, freed) <= 0 then call('DEL', SIZE) end
  call('ZREM', LEASES, unpack(ended))
  for i = 1, 2 * over, 2 do call('SETEX', records[i], '3600', records[i + 1]) end
  if garbage then call('UNLINK', unpack(garbage)) end
  if dedupes then call('HDEL', DEDUPE, unpack(dedupes)) end
  local history = call('RPUSH', HISTORY, unpack(ended))
-- @include "./history"
end
