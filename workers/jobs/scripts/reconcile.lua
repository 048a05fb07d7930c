-- Put right what a death left behind. ARGV: s without an answer to a bell, record ttl in s, problem when too late.
-- Returns JSON {lost: ids put back, ring: priorities whose bells are due}
local lost, ring = {}, {}

for _, id in ipairs(redis.call('ZRANGE', OPEN, 0, -1)) do
  local created, entry, deadline = unpack(redis.call('HMGET', job_key(id), 'created_at', 'entry', 'deadline'))
  if not created then
    forget(id)
  elseif (deadline or not entry) and redis.call('EXISTS', lease_key(id)) == 0 then
    if overdue(id) then
      if close(id, ARGV[2], 'error', ARGV[3]) then tell(id, 'failed') end
    elseif not entry then
      put_back(id)
      lost[#lost + 1] = id
    end
  end
end

for _, id in ipairs(redis.call('SMEMBERS', WITHDRAWN)) do
  if unwanted(id) then cancel(id, ARGV[2]) end
end

-- A bell that lies in the broker is not lost, however long every worker is busy.
for _, priority in ipairs(PRIORITIES) do
  local rung = tonumber(redis.call('ZSCORE', BELLS, priority) or 0)
  if waits(priority) and rung <= now - ARGV[1] and redis.call('LLEN', P .. priority) == 0 then
    redis.call('ZADD', BELLS, stamp(now), priority)
    ring[#ring + 1] = priority
  end
end
return cjson.encode({lost = #lost > 0 and lost or nil, ring = #ring > 0 and ring or nil})
