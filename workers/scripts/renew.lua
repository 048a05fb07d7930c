-- Hold on to leases. ARGV: owner, lease in ms, ids. Returns the ids that are no longer ours: taken over, or finished.
local lost = {}
for i = 3, #ARGV do
  local id = ARGV[i]
  if redis.call('GET', lease_key(id)) == ARGV[1] and redis.call('HEXISTS', job_key(id), 'finished_at') == 0 then
    redis.call('PEXPIRE', lease_key(id), ARGV[2])
  else
    lost[#lost + 1] = id
  end
end
return lost
