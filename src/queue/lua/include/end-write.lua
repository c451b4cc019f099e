-- Ends what end-look found: the bytes are freed, the records stay as history. What is written is looked at first: a value of
-- another kind must end the script before that.
local over = #ended
if over > 0 then
  call('LLEN', HISTORY)
  if call('DECRBY', SIZE, freed) <= 0 then call('DEL', SIZE) end
  call('ZREM', LEASES, unpack(ended))
  for i = 1, over do call('SET', keys[i], records[i], 'EX', '3600') end
  if dedupes then call('HDEL', DEDUPE, unpack(dedupes)) end
  local history = call('RPUSH', HISTORY, unpack(ended))
-- @include "./history"
end
