#!lua
-- Sets an owner's policy for an action or a resource, and carries what was consumed over to it: the bucket is drained at the
-- old pace up to now, and from now on at the new one.
-- Guarantee: holds from the next call on, everywhere; available = max(0, new limit - consumed).
--
-- KEYS[1] settings     proj:<p>:config:limits  HASH rate:<action> and quota:<resource> -> policy
-- KEYS[2] bucket       proj:<p>:ratelimit:<action>:<window> with <window> of the default policy, or proj:<p>:quota:<resource>
-- ARGV[1] not_after    ms, Redis time
-- ARGV[2] field        rate:<action> or quota:<resource>
-- ARGV[3] default      default policy or '-'
-- ARGV[4] policy       words of day=<n>, bucket=<limit>/<window in s> ...
-- ARGV[5] most         number of policies that a project may have
-- Returns {1}, {0} when the project has too many policies, LATE, WRONGTYPE.
-- Cost: O(1), 7 commands.
-- @include "prelude"
-- @include "./bucket"
local now = redis_us()
if late(now / 1000) then return LATE end

local stored = redis.call('HGET', KEYS[1], ARGV[2])
local is_rate = string.sub(ARGV[2], 1, 5) == 'rate:'
local function bucket_key(window)
  return is_rate and string.gsub(KEYS[2], '%d+$', window) or KEYS[2]
end
local limit, window = bucket_policy(stored or ARGV[3])
local old = limit and bucket_key(window)
local new_limit, new_window = bucket_policy(ARGV[4])
local new = new_limit and bucket_key(new_window)
for _, key in ipairs({ KEYS[2], old or KEYS[2], new or KEYS[2] }) do
  if not is_type(key, 'string') then return WRONGTYPE end
end
if not stored and redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[5]) then return { 0 } end

local used = old and drain(redis.call('GET', old), limit, window, now) or 0
redis.call('HSET', KEYS[1], ARGV[2], ARGV[4])
if old and old ~= new then redis.call('DEL', old) end
if new and used > 0 then save_bucket(new, used, new_limit, new_window, now) end
return { 1 }
