-- How long a unit of work takes, ms, from the counts that an operation reports: smoothed mean and deviation, as TCP estimates
-- a round trip (RFC 6298). Returns fields for the operation's state; none when `done` has not grown.
local function pace_of(operation, now_ms, restarted, first_field)
  local done
  for i = first_field, #ARGV, 2 do
    if ARGV[i] == 'done' then done = tonumber(ARGV[i + 1]) end
  end
  if not done then return {} end
  local before = restarted and {} or redis.call('HMGET', operation, 'done', 'counted_at', 'pace', 'spread', 'samples')
  local last, at = tonumber(before[1] or nil), tonumber(before[2] or nil)
  -- The first count, and one that steps back, only say where it begins.
  if not last or not at or done < last then return { 'counted_at', int(now_ms), 'samples', 0 } end
  if done == last then return {} end
  local sample = (now_ms - at) / (done - last)
  local pace, spread, samples = tonumber(before[3] or nil), tonumber(before[4] or nil), tonumber(before[5] or nil)
  if samples and samples > 0 then
    spread = 0.75 * spread + 0.25 * math.abs(pace - sample)
    pace = 0.875 * pace + 0.125 * sample
  else
    pace, spread, samples = sample, sample / 2, 0
  end
  return {
    'counted_at', int(now_ms), 'samples', int(samples + 1),
    'pace', string.format('%.6f', pace), 'spread', string.format('%.6f', spread),
  }
end
