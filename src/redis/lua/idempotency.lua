-- Idempotency of accepted answers: the first one is replayed for 10 minutes; a refusal is never stored (a replayed refusal
-- would make Retry-After a lie). Read `replay` before the first write, call `remember` after the last.
-- `fingerprint` is '' when the caller gave no Idempotency-Key; then nothing is read or written.
local function replay(key, fingerprint)
  if fingerprint == '' then return nil end
  local stored = redis.call('HMGET', key, 'fingerprint', 'reply')
  if not stored[1] then return nil end
  if stored[1] ~= fingerprint then return { err = 'REUSED the key was used with another body' } end
  return cmsgpack.unpack(stored[2])
end

local function remember(key, fingerprint, reply)
  if fingerprint ~= '' then
    redis.call('HSET', key, 'fingerprint', fingerprint, 'reply', cmsgpack.pack(reply))
    redis.call('EXPIRE', key, 600)
  end
  return reply
end
