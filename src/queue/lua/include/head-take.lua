-- Leases what head-look found.
local due = first_due and first_due + 0 or -1
if later and (due < 0 or later + 0 < due) then due = later + 0 end
if take > 0 then
  if moves then
    for i = 1, take do
      if moves[i] then call('LMOVE', W, moves[i], 'LEFT', 'RIGHT') else call('LPOP', W) end
    end
  else
    call('LPOP', W, take)
  end
  call('LPOP', WAITING, take)
  call('MSET', unpack(sets))
  call('ZADD', LEASES, unpack(taken))
  if due < 0 or deadline < due then due = deadline end
end
