-- Ends one leased job as done. A repetition with the same token answers the same; a stale token changes nothing.
local function end_job(id, token, result)
  local fields = job(id, 'token', 'settled', 'operation', 'dedupe')
  if fields and fields[3] == token and (fields[1] == 'done' or fields[1] == 'cancelled') then return { fields[1], '' } end
  local deadline = fields and fields[2] == token and call('ZSCORE', LEASES, id)
  if not deadline or tonumber(deadline) <= now_ms then return { 'stale' } end
  call('ZREM', LEASES, id)
  if fields[1] == 'cancelled' then
    finish(id, 'cancelled', fields[5], 'settled', token)
  elseif result == '' then
    finish(id, 'done', fields[5], 'settled', token)
  else
    finish(id, 'done', fields[5], 'settled', token, 'result', result)
  end
  n.leases = n.leases - 1
  return { fields[1] == 'cancelled' and 'cancelled' or 'done', fields[4] or '' }
end
