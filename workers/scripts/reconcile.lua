-- Put right what a death left behind. ARGV: s without a ring, record ttl in s, problem when too late.
-- Returns JSON {lost: ids put back, ring: groups whose bells are due}
local lost, ring = {}, {}
for _, id in ipairs(redis.call('ZRANGE', OPEN, 0, -1)) do
  if redis.call('EXISTS', job_key(id)) == 0 then
    redis.call('ZREM', OPEN, id)
  elseif redis.call('EXISTS', lease_key(id)) == 0 then
    if overdue(id) then
      if close(id, ARGV[2], 'error', ARGV[3]) then tell(id, 'failed') end
    elseif not field(id, 'entry') then
      put_back(id)
      lost[#lost + 1] = id
    end
  end
end
for _, group in ipairs(redis.call('ZRANGEBYSCORE', GROUPS, '-inf', stamp(now - tonumber(ARGV[1])))) do
  if redis.call('LLEN', list_key(group)) == 0 then
    redis.call('ZREM', GROUPS, group)
  else
    redis.call('ZADD', GROUPS, stamp(now), group)
    ring[#ring + 1] = group
  end
end
return cjson.encode({lost = #lost > 0 and lost or nil, ring = #ring > 0 and ring or nil})
