-- Take waiting work of one group under a lease.
-- ARGV: group, owner, lease in ms, attempts allowed, record ttl in s, problem when too late, problem when it crashes workers
-- Returns JSON {left: entries still waiting, jobs: [{id, spec, model, created_at, started_at, attempts, ..}]}
local group, owner, lease_ms, allowed, ttl = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5]
local list, taken, room = list_key(group), {}, 0

local function fail(id, problem)
  if close(id, ttl, 'error', problem) then tell(id, 'failed') end
end

-- The ids of an entry that are to run; those that are not are closed, or belong to an entry that is no more.
local function runnable(entry)
  local ids, crashed = {}, false
  for id in string.gmatch(entry, '%S+') do
    if field(id, 'entry') == entry then
      local attempts = tonumber(field(id, 'attempts'))
      if overdue(id) then
        fail(id, ARGV[6])
      elseif attempts >= allowed then
        fail(id, ARGV[7])
      else
        ids[#ids + 1] = id
        crashed = crashed or attempts > 0
      end
    end
  end
  return ids, crashed
end

local function take(id)
  local key = job_key(id)
  redis.call('SET', lease_key(id), owner, 'PX', lease_ms)
  redis.call('HINCRBY', key, 'attempts', 1)
  redis.call('HSET', key, 'started_at', stamp(now))
  redis.call('HDEL', key, 'entry', 'list')
  tell(id, 'started')
  local found = {id = id}
  for _, name in ipairs({'spec', 'model', 'created_at', 'started_at', 'attempts', 'request_id', 'recompute'}) do
    found[name] = field(id, name) or nil
  end
  taken[#taken + 1] = found
end

-- What was on a worker when it died runs alone the next time, so that one bad job does not take its neighbours along.
while true do
  local entry = redis.call('LPOP', list)
  if not entry then break end
  local ids, crashed = runnable(entry)
  if #ids > 0 then
    if #taken == 0 then room = tonumber(field(ids[1], 'share')) end
    if #taken > 0 and (crashed or #taken + #ids > room) then
      redis.call('LPUSH', list, entry)
      break
    end
    for _, id in ipairs(ids) do take(id) end
    if crashed then break end
  end
end

local left = redis.call('LLEN', list)
if left == 0 then redis.call('ZREM', GROUPS, group) else redis.call('ZADD', GROUPS, stamp(now), group) end
return cjson.encode({left = left, jobs = #taken > 0 and taken or nil})
