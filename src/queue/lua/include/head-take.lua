-- Leases what head-look took.
if take > 0 then
  if moves then
    for i = 1, #moves, 2 do
      call('UNLINK', moves[i])
      call('RPUSH', moves[i], moves[i + 1])
    end
  end
  call('MSET', unpack(sets))
  call('ZADD', LEASES, unpack(taken))
  if due < 0 or deadline < due then reply[at - 6 * take - 1] = deadline end
end
