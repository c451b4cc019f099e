-- The waiting room of a lock: two sets of the same owners, `queue` by arrival and `alive` by the moment until which Redis
-- believes in the waiter. While the queue holds anyone, the lock and the fence begin with MARK, or are absent: so a newcomer
-- need not look at the queue, nor who releases. The mark may outlast the queue. Needs the prelude.
-- @include "./holder"
local MARK = '*'
local CLAIM_MS = 500
local ALIVE_MS = 2000
local ROOM_MS = 60000
local FENCE_S = 604800

-- The keys of a lock beside itself, and the channel. Reads them, so that one of another kind stops the script before its
-- first write.
local function room_of(lock)
  local room = { lock = lock, fence = lock .. ':fence', queue = lock .. ':queue', alive = lock .. ':alive' }
  room.wake, room.name = string.match(lock, '^(.*:lock):([^:]+)$')
  redis.call('ZCARD', room.queue)
  redis.call('ZCARD', room.alive)
  room.held, room.last = redis.call('GET', lock), redis.call('GET', room.fence)
  return room
end

-- For how many ms the lock is held at most. What another program put there may have no end: who waits then looks now and then.
local function left_of(room)
  local left = redis.call('PTTL', room.lock)
  return left < 0 and ROOM_MS or left
end

-- The clock is the floor: when the counter was lost, the next fence is still greater than all before it.
local function grant(room, owner, now_us, ttl_ms)
  local last = tonumber(string.match(room.last or '', '%d+$')) or 0
  local fence = int(math.max(last + 1, now_us))
  local mark = redis.call('ZCARD', room.queue) > 0 and MARK or ''
  room.held, room.last = mark .. owner .. ' ' .. fence, mark .. fence
  redis.call('SET', room.fence, room.last, 'EX', FENCE_S)
  redis.call('SET', room.lock, room.held, 'PX', ttl_ms)
  return fence
end

-- Enters the room, or says again that the waiter lives. Who was given up as dead comes back to the place it had (`order`).
local function wait(room, owner, order, now_ms)
  redis.call('ZADD', room.queue, 'NX', order, owner)
  redis.call('ZADD', room.alive, int(now_ms + ALIVE_MS), owner)
  redis.call('PEXPIRE', room.queue, ROOM_MS)
  redis.call('PEXPIRE', room.alive, ROOM_MS)
  if string.sub(room.last or '', 1, 1) ~= MARK then
    room.last = MARK .. (room.last or '')
    redis.call('SET', room.fence, room.last, 'EX', FENCE_S)
  end
  if holder(room.held) and string.sub(room.held, 1, 1) ~= MARK then
    room.held = MARK .. room.held
    redis.call('SET', room.lock, room.held, 'KEEPTTL')
  end
end

local function leave(room, owner)
  redis.call('ZREM', room.queue, owner)
  redis.call('ZREM', room.alive, owner)
end

-- Makes the first living waiter the holder for as long as it may take to claim the lock, and tells it. Its owner and fence;
-- nothing when nobody waits.
local function hand_over(room, now_us)
  local dead = redis.call('ZRANGE', room.alive, '-inf', int(math.floor(now_us / 1000)), 'BYSCORE', 'LIMIT', 0, 1000)
  for _, owner in ipairs(dead) do leave(room, owner) end
  local first = redis.call('ZRANGE', room.queue, 0, 0)[1]
  if not first then return nil end

  leave(room, first)
  local fence = grant(room, first, now_us, CLAIM_MS)
  redis.call('PUBLISH', room.wake, room.name .. ' ' .. string.sub(first, 1, 16) .. ' ' .. CLAIM_MS)
  return first, fence
end
