-- A worker that must stop returns what it has not finished; this attempt does not count. ARGV: owner, ids.
-- Returns the groups whose bells are due.
local groups = {}
for i = 2, #ARGV do
  local id = ARGV[i]
  if redis.call('GET', lease_key(id)) == ARGV[1] and redis.call('HEXISTS', job_key(id), 'finished_at') == 0 then
    redis.call('DEL', lease_key(id))
    redis.call('HINCRBY', job_key(id), 'attempts', -1)
    groups[#groups + 1] = put_back(id)
  end
end
return groups
