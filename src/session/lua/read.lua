#!lua flags=no-writes
-- Reads sessions without prolonging them.
--
-- KEYS[1] index           proj:<p>:session       ZSET session id by expiry in ms
-- KEYS[2..] sessions...   proj:<p>:session:<id>  HASH secret, user, role, data, version, created, ttl, until
-- Returns for each session {user_id, role, data, version, created_ms, expires_at_ms}, {} when there is none.
-- Cost: O(k) for k sessions, 2 commands each.
local found = {}
for i = 2, #KEYS do
  local session = redis.call('HMGET', KEYS[i], 'user', 'role', 'data', 'version', 'created')
  session[6] = redis.call('ZSCORE', KEYS[1], string.sub(KEYS[i], #KEYS[1] + 2))
  found[#found + 1] = session[1] and session[6] and session or {}
end
return found
