#!lua
-- Publishes one event: log, state of its operation, channel of the hubs and, with its id, the channel of others.
-- Guarantee: all of it or nothing; sequence numbers grow by one, in the order in which the hubs hear them.
--
-- KEYS[1] meta         proj:<p>:progress:meta          HASH epoch, seq, run_id, bytes, oldest_at
-- KEYS[2] log          proj:<p>:progress:log           STREAM <seq>-0: e event, o operation, x ends it, t ms
-- KEYS[3] operations   proj:<p>:progress:ops           ZSET operation by time of its last event, us
-- KEYS[4] leases       proj:<p>:progress:leases        ZSET operation by time at which it is lost, ms
-- KEYS[5] operation    proj:<p>:progress:op:<id>       HASH, see operation-state.ts
-- KEYS[6] text         proj:<p>:progress:op:<id>:text  string
-- KEYS[7] seq_channel  proj:<p>:progress:seq           channel of the hubs
-- KEYS[8] idempotency  proj:<p>:idempotency:progress.publish:<hash>  HASH
-- KEYS[9] channel      proj:<p>:progress               channel of others
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
-- ARGV[13] fingerprint  of the request, '' without Idempotency-Key
-- ARGV[14..] fields...  fields and values of the operation's state
-- Returns {1, id}, {0, text_length} when `off` is beyond the text, REUSED, LATE, WRONGTYPE.
-- Cost: O(1) amortised, about 30 commands; 500 more at most when the retention drops many small events for a large one.
-- @include "prelude"
-- @include "idempotency"
-- @include "./open-log"
-- @include "./pace"
-- @include "./append"
local now = redis_us()
if late(now / 1000) then return LATE end
local earlier = replay(KEYS[8], ARGV[13])
if earlier then return earlier end

local id, event = append(now, 14, false)
if not id then return { 0, tonumber(event) } end
redis.call('PUBLISH', KEYS[9], event)
return remember(KEYS[8], ARGV[13], { 1, id })
