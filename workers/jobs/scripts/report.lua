-- Tell how far jobs are. ARGV: done, total, unit, s that it is kept, ids. Returns the ids of those that are finished already:
-- nobody wants them any more.
local lost = {}
for i = 5, #ARGV do
  local id, key = ARGV[i], P .. 'progress:' .. ARGV[i]
  if unfinished(id) then
    redis.call('HSET', key, 'done', ARGV[1], 'total', ARGV[2], 'unit', ARGV[3])
    redis.call('EXPIRE', key, ARGV[4])
    tell(id, 'progress')
  elseif field(id, 'finished_at') then
    lost[#lost + 1] = id
  end
end
return lost
