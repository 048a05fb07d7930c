-- Take waiting work that may share a pass, under a lease: the next caller's next group, then others' of the same group.
-- ARGV: priority whose bell is answered, priorities served, owner, lease in ms, attempts allowed, record ttl in s,
--   problem when too late, problem when it crashes workers, the worker's profile,
--   passes of a job that is short, seconds that short ones may take together
-- Returns JSON {ring: the bell is to be rung again, jobs: [{id, spec, model, created_at, started_at, attempts, ..}],
--   dropped: [{id, spec, model, problem}] that failed instead}, and behind it of some inputs digest, kind and data
local bell, priorities, owner, lease_ms, allowed, ttl = ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5]), ARGV[6]
local profile, short, most_s = ARGV[9], tonumber(ARGV[10]), tonumber(ARGV[11])
local FLOOR = 5 -- every so many turns batch goes first, where interactive work waits too
local SHARERS = 100 -- callers that are asked whether they have work to share the pass
local FEW = 2 ^ 18 -- bytes of inputs that come along; the others are asked for
local taken, dropped, room, spent = {}, {}, 0, 0

local function fail(id, problem)
  dropped[#dropped + 1] = {id = id, spec = field(id, 'spec'), model = field(id, 'model'), problem = problem}
  if close(id, ttl, 'error', problem) then tell(id, 'failed') end
end

-- The ids of an entry that are to run; those that are not are closed, or belong to an entry that is no more.
local function runnable(entry)
  local ids, crashed = {}, false
  for id in string.gmatch(entry, '%S+') do
    if field(id, 'entry') == entry then
      local attempts = tonumber(field(id, 'attempts'))
      if overdue(id) then
        fail(id, ARGV[7])
      elseif attempts >= allowed then
        fail(id, ARGV[8])
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
  wait_no_more(id)
  redis.call('SET', lease_key(id), owner, 'PX', lease_ms)
  redis.call('HINCRBY', key, 'attempts', 1)
  redis.call('HSET', key, 'started_at', stamp(now))
  tell(id, 'started')
  local found = {id = id}
  local told = {'spec', 'model', 'group', 'created_at', 'started_at', 'attempts', 'priority', 'request_id', 'trace', 'recompute',
    'passes', 'cost'}
  for _, name in ipairs(told) do
    found[name] = field(id, name) or nil
  end
  taken[#taken + 1] = found
end

-- What was on a worker when it died runs alone the next time, so that one bad job does not take its neighbours along.
-- Returns whether the batch is to have no more.
local function take_from(priority, group, caller)
  local line, closed, cost = line_key(line_of(priority, group, caller)), false, 0
  while not closed do
    local entry = redis.call('LPOP', line)
    if not entry then break end
    local ids, crashed = runnable(entry)
    if #taken == 0 and #ids > 0 then room = tonumber(field(ids[1], 'share')) end
    if #taken > 0 and #ids > 0 and (crashed or #taken + #ids > room) then
      redis.call('LPUSH', line, entry)
      closed = true
    else
      local last = 0
      for _, id in ipairs(ids) do
        last = math.max(tonumber(field(id, 'cost')), COST_S)
        cost = cost + last
        take(id)
      end
      local enough = #ids > 0 and tonumber(field(ids[1], 'passes') or 1) <= short and spent + cost + last > most_s
      closed = #taken > 0 and (crashed or enough or #taken >= room)
    end
  end
  if cost > 0 then charge(priority, group, caller, cost) end
  spent = spent + cost
  depart_from(priority, group, caller)
  return closed
end

-- Of several sorted sets the least member: its name, and the set that it is in.
local function least_of(keys)
  local found, had, place
  for _, key in ipairs(keys) do
    local first = redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')
    local who, score = first[1], tonumber(first[2])
    if who and (not found or score < had or score == had and who < found) then found, had, place = who, score, key end
  end
  return found, place
end

-- The least served caller who has work that this worker can do, the least served group of it, and the group's class.
local function next_turn(priority)
  local classes, callers, groups = {}, {}, {}
  for _, class in ipairs(redis.call('SMEMBERS', classes_key(priority))) do
    if holds(class, profile) then
      classes[#classes + 1] = class
      callers[#callers + 1] = ready_key(priority, class)
    end
  end
  local caller = least_of(callers)
  if not caller then return nil end
  for i, class in ipairs(classes) do groups[i] = ready_key(priority, class, caller) end
  return caller, (least_of(groups))
end

local function take_turn(priority)
  while #taken == 0 do
    local caller, group = next_turn(priority)
    if not group then break end
    local class = class_of(group)
    local closed = take_from(priority, group, caller)
    if #taken > 0 then
      for _, other in ipairs(redis.call('ZRANGE', ready_key(priority, class), 0, SHARERS - 1)) do
        if closed then break end
        if redis.call('EXISTS', line_key(line_of(priority, group, other))) == 1 then
          closed = take_from(priority, group, other)
        end
      end
    end
  end
end

local turns = {}
for _, priority in ipairs(PRIORITIES) do
  if string.find(priorities, priority, 1, true) and wanted(priority, profile) then turns[#turns + 1] = priority end
end
if #turns > 1 and redis.call('INCR', P .. 'turn') % FLOOR == 0 then turns = {turns[2], turns[1]} end
for _, priority in ipairs(turns) do
  if #taken == 0 then take_turn(priority) end
end

for _, priority in ipairs(PRIORITIES) do
  if not waits(priority) then redis.call('DEL', depth_key(priority)) end -- of sums of fractions something is left
end
redis.call('ZREM', BELLS, bell)
local answer = {cjson.encode({
  ring = (wanted(bell, profile) or wanted(bell)) and bell_due(bell),
  jobs = #taken > 0 and taken or nil,
  dropped = #dropped > 0 and dropped or nil,
})}
local bytes, given = 0, {}
for _, one in ipairs(taken) do
  local digest = field(one.id, 'input')
  local size = digest and not given[digest] and redis.call('HSTRLEN', input_key(digest), 'data') or 0
  if size > 0 and bytes + size <= FEW then
    bytes, given[digest] = bytes + size, true
    local kind, data = unpack(redis.call('HMGET', input_key(digest), 'kind', 'data'))
    for _, part in ipairs({digest, kind, data}) do answer[#answer + 1] = part end
  end
end
return answer
