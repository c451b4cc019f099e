-- Leases what head-look found.
local due = first_due and first_due + 0 or -1
if later and (due < 0 or later + 0 < due) then due = later + 0 end
if take > 0 then
  if moves then
    for i = 1, take do
      if moves[i] then call('LMOVE', W, moves[i], 'LEFT', 'RIGHT') else call('LTRIM', W, '1', '-1') end
    end
  else
    call('LTRIM', W, take, '-1')
  end
  call('LTRIM', WAITING, take, '-1')
  call('MSET', unpack(sets))
  call('ZADD', LEASES, unpack(taken))
  if due < 0 or deadline < due then due = deadline end
end
