#!lua flags=allow-oom
-- Ends an operation whose next report is overdue: failed, with the error 'lost'. Does nothing when it has reported since.
--
-- KEYS[1] meta         proj:<p>:progress:meta          HASH epoch, seq, run_id, bytes, oldest_at
-- KEYS[2] log          proj:<p>:progress:log           STREAM <seq>-0: e event, o operation, x ends it, t ms
-- KEYS[3] operations   proj:<p>:progress:ops           ZSET operation by time of its last event, us
-- KEYS[4] leases       proj:<p>:progress:leases        ZSET operation by time at which it is lost, ms
-- KEYS[5] operation    proj:<p>:progress:op:<id>       HASH, see operation-state.ts
-- KEYS[6] text         proj:<p>:progress:op:<id>:text  string
-- KEYS[7] seq_channel  proj:<p>:progress:seq           channel of the hubs
-- KEYS[8] channel      proj:<p>:progress               channel of others
-- ARGV[1] not_after     ms, Redis time
-- ARGV[2] run_id        run of the server, '' when it is not known
-- ARGV[3] fresh_epoch   used when a new epoch begins
-- ARGV[4] max_events    retention
-- ARGV[5] max_bytes     retention, bytes of events
-- ARGV[6] max_seconds   retention
-- ARGV[7] body          the event's JSON without its closing brace, at most 64 KiB
-- ARGV[8] operation_id  '' when the event belongs to none
-- ARGV[9] status        started, running, completed, failed or cancelled
-- ARGV[10] text         output to append
-- ARGV[11] off          where `text` stands in the output, bytes; '' when the event carries none
-- ARGV[12] lease_ms     ms until the next report, '' when none is promised
-- ARGV[13..] fields...  fields and values of the operation's state
-- Returns {1, id} when it ended now, {0} when it is not overdue, LATE, WRONGTYPE.
-- Cost: as publish.lua.
-- @include "prelude"
-- @include "./open-log"
-- @include "./pace"
-- @include "./append"
local now = redis_us()
if late(now / 1000) then return LATE end
local lost_at = tonumber(redis.call('HGET', KEYS[5], 'lost_at') or '')
if not lost_at or lost_at > now / 1000 then
  -- Its state is gone (forgotten or expired): nothing is left to end.
  if redis.call('EXISTS', KEYS[5]) == 0 then redis.call('ZREM', KEYS[4], ARGV[8]) end
  return { 0 }
end

local id, event = append(now, 13, true)
redis.call('PUBLISH', KEYS[8], event)
return { 1, id }
