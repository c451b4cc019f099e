#!lua
-- Takes a message that another program published into the log: once, and only from the holder of the ingest lease.
-- Guarantee: the ordinal moves with the append, so that neither a repetition nor an ingester that lost its lease doubles it.
--
-- KEYS[1] meta         proj:<p>:progress:meta          HASH epoch, seq, run_id, bytes, oldest_at
-- KEYS[2] log          proj:<p>:progress:log           STREAM <seq>-0: e event, o operation, x ends it, t ms
-- KEYS[3] operations   proj:<p>:progress:ops           ZSET operation by time of its last event, us
-- KEYS[4] leases       proj:<p>:progress:leases        ZSET operation by time at which it is lost, ms
-- KEYS[5] operation    proj:<p>:progress:op:<id>       HASH, see operation-state.ts
-- KEYS[6] text         proj:<p>:progress:op:<id>:text  string
-- KEYS[7] seq_channel  proj:<p>:progress:seq           channel of the hubs
-- KEYS[8] ingest       proj:<p>:progress:ingest        HASH token, ordinal
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
-- ARGV[13] token        the holder's secret
-- ARGV[14] ordinal      of the message under this token, from 1
-- ARGV[15..] fields...  fields and values of the operation's state
-- Returns {1} when it is in the log, {0} when the lease is another's, LATE, WRONGTYPE.
-- Cost: as publish.lua.
-- @include "prelude"
-- @include "./open-log"
-- @include "./append"
local now = redis_us()
if late(now / 1000) then return LATE end
local lease = redis.call('HMGET', KEYS[8], 'token', 'ordinal')
if lease[1] ~= ARGV[13] then return { 0 } end
if tonumber(ARGV[14]) <= tonumber(lease[2]) then return { 1 } end

append(now, 15, true)
redis.call('HSET', KEYS[8], 'ordinal', ARGV[14])
return { 1 }
