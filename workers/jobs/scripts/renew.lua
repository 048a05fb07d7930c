-- Hold on to leases. ARGV: owner, lease in ms, ids. Returns the ids that are no longer ours: taken over, or finished.
local lost = {}
for i = 3, #ARGV do
  local id = ARGV[i]
  local holder = redis.call('GET', lease_key(id))
  -- A lease that lapsed while Redis was out of reach is had again, where nobody has put the job back meanwhile.
  if not holder and unfinished(id) and not field(id, 'entry') then holder = ARGV[1] end
  if holder == ARGV[1] and redis.call('PEXPIRE', lease_key(id), ARGV[2]) == 0 then
    redis.call('SET', lease_key(id), holder, 'PX', ARGV[2])
  end
  if holder ~= ARGV[1] or redis.call('HEXISTS', job_key(id), 'finished_at') == 1 then lost[#lost + 1] = id end
end
return lost
