-- A worker that must stop returns what it has not finished; this attempt does not count. ARGV: owner, ids.
-- Returns the priorities whose bells are due.
local ring = {}
for i = 2, #ARGV do
  local id = ARGV[i]
  if redis.call('GET', lease_key(id)) == ARGV[1] and unfinished(id) then
    redis.call('DEL', lease_key(id))
    if not field(id, 'entry') then -- else it was withdrawn and asked for again meanwhile, and waits already
      redis.call('HINCRBY', job_key(id), 'attempts', -1)
      local priority = put_back(id)
      if bell_due(priority) then ring[#ring + 1] = priority end
    end
  end
end
return ring
