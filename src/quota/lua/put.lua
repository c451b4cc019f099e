#!lua
-- Sets an owner's policy for an action or a resource, and carries what was consumed over to it: each bucket is drained at the
-- old pace up to now, and from now on at the new one. A rate limit's window stands in its key, so another window moves it:
-- the first bucket that has gone to the first that has come, and so on. Those of users are not known here and stay.
-- Guarantee: holds from the next call on; available = max(0, new limit - consumed).
--
-- KEYS[1] settings     proj:<p>:config:limits  HASH rate:<action> and quota:<resource> -> policy
-- KEYS[2] bucket       proj:<p>:ratelimit:<action>:<any window>, or proj:<p>:quota:<resource>
-- ARGV[1] not_after    ms, Redis time
-- ARGV[2] field        rate:<action> or quota:<resource>
-- ARGV[3] default      default policy or '-'
-- ARGV[4] policy       words of day=<n>, bucket=<limit>/<window in s>[:user][:dry] ...
-- ARGV[5] most         number of policies that a project may have
-- Returns {1}, {0} when the project has too many policies, LATE, WRONGTYPE.
-- Cost: O(buckets), 3 commands and 3 for each.
-- @include "prelude"
-- @include "./bucket"
local now = redis_us()
if late(now / 1000) then return LATE end

local is_rate = string.sub(ARGV[2], 1, 5) == 'rate:'
-- The buckets that the policy gives the project, in its order, and each by its key.
local function buckets_of(policy)
  local list, by_key = {}, {}
  for limit, window, flags in string.gmatch(policy, 'bucket=(%d+)/(%d+)(%S*)') do
    if not string.find(flags, ':user', 1, true) then
      local key = is_rate and string.gsub(KEYS[2], '%d+$', window) or KEYS[2]
      local bucket = { key = key, limit = tonumber(limit), window = tonumber(window) }
      list[#list + 1], by_key[key] = bucket, bucket
    end
  end
  return list, by_key
end

local stored = redis.call('HGET', KEYS[1], ARGV[2])
local old, old_by_key = buckets_of(stored or ARGV[3])
local new, new_by_key = buckets_of(ARGV[4])
if not is_type(KEYS[2], 'string') then return WRONGTYPE end
for _, bucket in ipairs(old) do
  local used, _, _, open = drain(redis.call('GET', bucket.key), bucket.limit, bucket.window, now)
  bucket.used, bucket.open = used, open
end
for _, bucket in ipairs(new) do
  if not is_type(bucket.key, 'string') then return WRONGTYPE end
end
if not stored and redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[5]) then return { 0 } end

redis.call('HSET', KEYS[1], ARGV[2], ARGV[4])
local gone = {}
for _, bucket in ipairs(old) do
  if not new_by_key[bucket.key] then
    gone[#gone + 1] = bucket
    redis.call('SET', bucket.key, MOVED, 'PX', 2000)
  end
end
for _, bucket in ipairs(new) do
  local before = old_by_key[bucket.key] or table.remove(gone, 1)
  if before and before.used > 0 then
    save_bucket(bucket.key, before.used, bucket.limit, bucket.window, now, nil, before.open)
  elseif before or redis.call('GET', bucket.key) == MOVED then
    redis.call('DEL', bucket.key)
  end
end
return { 1 }
