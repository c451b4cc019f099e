#!lua flags=no-writes
-- The state of one operation with its text, as of one moment of the log.
--
-- KEYS[1] meta       proj:<p>:progress:meta          HASH epoch, seq, run_id, bytes, oldest_at
-- KEYS[2] operation  proj:<p>:progress:op:<id>       HASH, see operation-state.ts
-- KEYS[3] text       proj:<p>:progress:op:<id>:text  string
-- Returns {epoch, seq, now_ms, fields, text}; epoch and seq are nil when there is no log, fields is empty when it is unknown.
-- Cost: O(length of the text), 5 commands.
-- @include "prelude"
local meta = redis.call('HMGET', KEYS[1], 'epoch', 'seq')
return {
  meta[1], meta[2], int(math.floor(redis_us() / 1000)), redis.call('HGETALL', KEYS[2]), redis.call('GET', KEYS[3]) or '',
}
