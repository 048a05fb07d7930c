-- Put right what a death left behind. ARGV: s without an answer to a bell, record ttl in s, problem when too late,
--   s that work may wait while no worker lives that can do it, most of it that is told at once
-- Returns JSON {lost: ids put back, ring: priorities whose bells are due, unserved: [{id, model, needs}] that waited so long}
local lost, ring, unserved = {}, {}, {}
local limit, most = tonumber(ARGV[4]), tonumber(ARGV[5])
local UNSERVED = P .. 'unserved' -- by class, since when no worker lives that can do what is of it

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

local function tell_unserved(priority, class, since)
  for _, caller in ipairs(redis.call('ZRANGE', ready_key(priority, class), 0, -1)) do
    for _, group in ipairs(redis.call('ZRANGE', ready_key(priority, class, caller), 0, -1)) do
      for _, entry in ipairs(redis.call('LRANGE', line_key(line_of(priority, group, caller)), 0, most)) do
        for id in string.gmatch(entry, '%S+') do
          if #unserved >= most then return end
          local created, own, model, needs = unpack(redis.call('HMGET', job_key(id), 'created_at', 'entry', 'model', 'needs'))
          if own == entry and math.max(since, tonumber(created)) < now - limit then
            unserved[#unserved + 1] = {id = id, model = model, needs = needs}
          end
        end
      end
    end
  end
end

local waiting = {}
for _, priority in ipairs(PRIORITIES) do
  for _, class in ipairs(redis.call('SMEMBERS', classes_key(priority))) do
    if not served(class) then
      redis.call('HSETNX', UNSERVED, class, stamp(now))
      waiting[class] = true
      tell_unserved(priority, class, tonumber(redis.call('HGET', UNSERVED, class)))
    end
  end
end
for _, class in ipairs(redis.call('HKEYS', UNSERVED)) do
  if not waiting[class] then redis.call('HDEL', UNSERVED, class) end
end

-- A bell that lies in the broker is not lost, however long every worker is busy.
for _, priority in ipairs(PRIORITIES) do
  local rung = tonumber(redis.call('ZSCORE', BELLS, priority) or 0)
  if wanted(priority) and rung <= now - ARGV[1] and redis.call('LLEN', P .. priority) == 0 then
    redis.call('ZADD', BELLS, stamp(now), priority)
    ring[#ring + 1] = priority
  end
end
return cjson.encode({
  lost = #lost > 0 and lost or nil,
  ring = #ring > 0 and ring or nil,
  unserved = #unserved > 0 and unserved or nil,
})
