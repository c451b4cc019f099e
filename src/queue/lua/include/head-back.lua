-- Puts back what head-look took.
for i = #entries, 1, -1 do call('LPUSH', WAITING, entries[i]) end
for i = #raws, 1, -1 do call('LPUSH', W, raws[i]) end
