-- `over` jobs have joined the history, which is `history` long now. Every 64th renews its TTL, and forgets as many as make
-- it 10,000 at most: jobs that end one by one need not pay for that.
if over > 0 and (history - 1) % 64 < over then
  call('EXPIRE', HISTORY, '3600')
  if history > 9936 then
    local old = call('LPOP', HISTORY, math.min(history - 9936, 1000))
    for i = 1, #old do old[i] = W .. ':job:' .. old[i] end
    call('UNLINK', unpack(old))
  end
end
