#!lua flags=no-writes
-- The states of operations, latest first, as of one moment of the log.
--
-- KEYS[1] meta        proj:<p>:progress:meta  HASH epoch, seq, run_id, bytes, oldest_at
-- KEYS[2] operations  proj:<p>:progress:ops   ZSET operation by time of its last event, us
-- ARGV[1] before      us, exclusive as '(<us>', or '+inf'
-- ARGV[2] max         operations at most
-- Returns {epoch, seq, now_ms, {id, us, fields}...}; epoch and seq are nil when there is no log.
-- Cost: O(max).
-- @include "prelude"
local meta = redis.call('HMGET', KEYS[1], 'epoch', 'seq')
local found = redis.call('ZREVRANGEBYSCORE', KEYS[2], ARGV[1], '-inf', 'WITHSCORES', 'LIMIT', 0, ARGV[2])
local prefix = string.sub(KEYS[2], 1, -2) .. ':'
local answer = { meta[1], meta[2], int(math.floor(redis_us() / 1000)) }
for i = 1, #found, 2 do
  answer[#answer + 1] = { found[i], found[i + 1], redis.call('HGETALL', prefix .. found[i]) }
end
return answer
