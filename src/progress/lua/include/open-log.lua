-- Opens the log of a project: its epoch and its last sequence number.
-- A new epoch with an empty log begins when there is no record, or when another run of the server wrote it: a crash or a
-- fail-over may have lost the tail, whose numbers would then be given out twice. `run_id` is '' where it is not known.
local function open_log(meta, log, run_id, fresh_epoch)
  local stored = redis.call('HMGET', meta, 'epoch', 'seq', 'run_id')
  if stored[1] and (run_id == '' or stored[3] == run_id) then return stored[1], tonumber(stored[2]) end
  redis.call('UNLINK', meta, log)
  redis.call('HSET', meta, 'epoch', fresh_epoch, 'seq', 0, 'run_id', run_id)
  return fresh_epoch, 0
end
