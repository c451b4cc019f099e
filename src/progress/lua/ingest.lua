#!lua
-- Takes a message that another program published into the log: once, and only from the holder of the ingest lease.
-- Guarantee: the place of the last one moves with the append, so that neither a repetition nor an ingester that lost its lease
-- doubles a message.
--
-- KEYS[1] meta         proj:<p>:progress:meta          HASH epoch, seq, run_id, bytes, oldest_at
-- KEYS[2] log          proj:<p>:progress:log           STREAM <seq>-0: e event, o operation, x ends it, t ms
-- KEYS[3] operations   proj:<p>:progress:ops           ZSET operation by time of its last event, us
-- KEYS[4] leases       proj:<p>:progress:leases        ZSET operation by time at which it is lost, ms
-- KEYS[5] operation    proj:<p>:progress:op:<id>       HASH, see operation-state.ts
-- KEYS[6] text         proj:<p>:progress:op:<id>:text  string
-- KEYS[7] seq_channel  proj:<p>:progress:seq           channel of the hubs
-- KEYS[8] ingest       proj:<p>:progress:ingest        HASH, see claim-ingest.lua
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
-- ARGV[14] mark         place of the message: the mark after which it was heard,
-- ARGV[15] index        and how many were heard since then, from 1
-- ARGV[16..] fields...  fields and values of the operation's state
-- Returns {1} when it is in the log, {0} when the lease is another's, LATE, WRONGTYPE.
-- Cost: as publish.lua.
-- @include "prelude"
-- @include "./open-log"
-- @include "./pace"
-- @include "./append"
local now = redis_us()
if late(now / 1000) then return LATE end
local lease = redis.call('HMGET', KEYS[8], 'token', 'logged_mark', 'logged_index')
if lease[1] ~= ARGV[13] then return { 0 } end
local behind = ARGV[14] - (lease[2] or 0)
if behind < 0 or behind == 0 and tonumber(ARGV[15]) <= tonumber(lease[3] or 0) then return { 1 } end

append(now, 16, true)
redis.call('HSET', KEYS[8], 'logged_mark', ARGV[14], 'logged_index', ARGV[15])
return { 1 }
