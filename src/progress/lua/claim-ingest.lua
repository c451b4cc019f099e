#!lua flags=allow-oom
-- Takes, renews or gives back the lease of the one instance that takes in what others publish, and publishes a mark: all
-- instances count the messages that they hear from there on, and so give each message the same place, `mark` and index.
--
-- KEYS[1] ingest       proj:<p>:progress:ingest  HASH token, until_ms, line, mark, and logged_mark, logged_index of the last logged
-- KEYS[2] seq_channel  proj:<p>:progress:seq     channel of the hubs
-- ARGV[1] not_after    ms, Redis time
-- ARGV[2] token        the instance's secret
-- ARGV[3] what         hold or return
-- ARGV[4] ttl_ms       ms; the places are remembered for a minute longer
-- Returns {1, line, logged_mark, logged_index} when the lease is held, {0} when it is not, LATE, WRONGTYPE. Marks count
-- within their line, which begins when the record is made.
-- Cost: O(1), 5 commands.
-- @include "prelude"
local now = math.floor(redis_us() / 1000)
if late(now) then return LATE end
local fields = redis.call('HMGET', KEYS[1], 'token', 'until_ms', 'line', 'mark', 'logged_mark', 'logged_index')
local holder = tonumber(fields[2] or 0) > now and fields[1]
if ARGV[3] == 'return' then
  if holder == ARGV[2] then
    redis.call('HDEL', KEYS[1], 'token', 'until_ms')
    redis.call('PUBLISH', KEYS[2], 'free')
  end
  return { 0 }
end
if holder and holder ~= ARGV[2] then return { 0 } end

local line, mark = fields[3] or ARGV[2], int((fields[4] or 0) + 1)
local logged_mark, logged_index = fields[5] or '0', fields[6] or '0'
redis.call('HSET', KEYS[1], 'token', ARGV[2], 'until_ms', int(now + ARGV[4]), 'line', line, 'mark', mark)
redis.call('PEXPIRE', KEYS[1], ARGV[4] + 60000)
redis.call('PUBLISH', KEYS[2], table.concat({ 'mark', line, mark, logged_mark, logged_index }, ' '))
return { 1, line, tonumber(logged_mark), tonumber(logged_index) }
