-- The waiting room of a lock: two sets of the same tokens, `queue` by arrival and `alive` by the moment until which Redis
-- believes in the waiter. Needs the prelude.
local CLAIM_MS = 500
local ALIVE_MS = 2000
local ROOM_MS = 60000
local FENCE_MS = 604800000

-- Token and fence of the holder, as they stand in the lock; nothing when the lock is free or of another program.
local function holder(lock)
  return string.match(lock or '', '^(%S+) (%d+)$')
end

-- How many wait. Reads both sets, so that one of another kind stops the script before its first write.
local function waiting(queue, alive)
  return redis.call('ZCARD', alive) and redis.call('ZCARD', queue)
end

-- The clock is the floor: when the counter was lost, the next fence is still greater than all before it.
local function grant(lock, counter, last, token, now_us, ttl_ms)
  local fence = int(math.max((tonumber(last) or 0) + 1, now_us))
  redis.call('SET', counter, fence, 'PX', FENCE_MS)
  redis.call('SET', lock, token .. ' ' .. fence, 'PX', ttl_ms)
  return fence
end

-- Enters the room, or says again that the waiter lives. Who was given up as dead comes back to the place it had (`order`).
local function wait(queue, alive, token, order, now_ms)
  redis.call('ZADD', queue, 'NX', order, token)
  redis.call('ZADD', alive, int(now_ms + ALIVE_MS), token)
  redis.call('PEXPIRE', queue, ROOM_MS)
  redis.call('PEXPIRE', alive, ROOM_MS)
end

local function leave(queue, alive, token)
  redis.call('ZREM', queue, token)
  redis.call('ZREM', alive, token)
end

-- Makes the first living waiter the holder for as long as it may take to claim the lock, and tells it. Its token and fence;
-- nothing when nobody waits.
local function hand_over(lock, counter, queue, alive, wake, now_us)
  local last = redis.call('GET', counter)
  local now_ms = math.floor(now_us / 1000)
  local dead = redis.call('ZRANGE', alive, '-inf', int(now_ms), 'BYSCORE', 'LIMIT', 0, 1000)
  for _, token in ipairs(dead) do leave(queue, alive, token) end
  local first = redis.call('ZRANGE', queue, 0, 0)[1]
  if not first then return nil end

  leave(queue, alive, first)
  local fence = grant(lock, counter, last, first, now_us, CLAIM_MS)
  local name = string.match(lock, ':lock:([^:]+)$')
  redis.call('PUBLISH', wake, name .. ' ' .. string.sub(redis.sha1hex(first), 1, 16) .. ' ' .. CLAIM_MS)
  return first, fence
end
