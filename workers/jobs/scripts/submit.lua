-- Create or join the jobs of one request, or refuse all of it where what is new does not fit.
-- ARGV: JSON list of orders {id, spec, model, group, share, priority, caller, cost, needs, input?, given?, deadline?, request_id?, again,
--   recompute}; JSON caps {group, caller, jobs: most that wait of a priority; seconds: most work, by priority;
--   shut: nothing new at all}; seconds that an open connection waits for them; 1 to ask whether there is room, and no more;
--   JSON {the message of its bell, by priority}; 1 where the bytes of all inputs have to lie here
-- Returns JSON {words: one of created, joined, refused, finished per order}
--   or {full: {cap: its name, most, depth: what there would be of it, seconds: of work there would be}}
--   or {absent: 1} where an input's bytes do not lie here, and nothing was done
local orders, caps, connected_s = cjson.decode(ARGV[1]), cjson.decode(ARGV[2]), tonumber(ARGV[3])
local LISTED, KEPT_S = 100000, 14 * 86400 -- the index holds so many, so long
local words, entries, due = {}, {}, {}

local function word_for(order)
  local id = order.id
  if redis.call('EXISTS', job_key(id)) == 0 then return 'created' end
  if unfinished(id) then return 'joined' end
  if order.again then return 'created' end
  if tonumber(field(id, 'remembered_until') or 0) > now then return 'refused' end
  if field(id, 'error') or field(id, 'cancelled') then return 'created' end
  return 'finished'
end

local function depth_of(priority, name) return tonumber(redis.call('HGET', depth_key(priority), name) or 0) end

-- The cap that the new orders of a priority would pass; work that would wait alone is always taken.
local function full(priority)
  local added, groups, caller, seconds = 0, {}, '', 0
  for i, order in ipairs(orders) do
    if words[i] == 'created' and order.priority == priority then
      added, seconds, caller = added + 1, seconds + order.cost, order.caller
      groups[order.group] = (groups[order.group] or 0) + 1
    end
  end
  local waiting = depth_of(priority, 'jobs')
  if added == 0 then return nil end
  seconds = seconds + depth_of(priority, 'seconds') + (priority == 'batch' and depth_of('interactive', 'seconds') or 0)
  local function past(cap, depth, most)
    return depth > most and {cap = cap, most = most, depth = depth, seconds = seconds}
  end
  if caps.shut then return past('memory', 1, 0) end
  local found = past('jobs', waiting + added, caps.jobs)
    or past('caller', depth_of(priority, 'caller:' .. caller) + added, caps.caller)
    or waiting > 0 and past('seconds', seconds, caps.seconds[priority])
  for group, count in pairs(groups) do
    found = found or past('group', depth_of(priority, 'group:' .. group) + count, caps.group)
  end
  return found or nil
end

-- Whoever joins brings a turn of its own: the job also stands in its line, and the line that comes first takes it.
local function stand_in(order)
  local entry, line = unpack(redis.call('HMGET', job_key(order.id), 'entry', 'line'))
  if not entry then return end
  local priority, group, caller = parts_of(line)
  local sooner = order.priority == 'interactive' and priority == 'batch'
  if order.priority ~= priority and not sooner or order.caller == caller and not sooner then return end
  local other = line_of(order.priority, group, order.caller)
  if sooner then
    for id in string.gmatch(entry, '%S+') do
      weigh(id, -1)
      redis.call('HSET', job_key(id), 'priority', order.priority, 'line', other, 'also:' .. line, 1)
      weigh(id, 1)
    end
  elseif redis.call('HSETNX', job_key(order.id), 'also:' .. other, 1) == 0 then
    return
  end
  push(other, entry, 'RPUSH')
  due[order.priority] = true
end

local function join(order)
  local id, old = order.id, field(order.id, 'deadline')
  if not order.deadline then
    redis.call('HDEL', job_key(id), 'deadline')
  elseif old and tonumber(old) < order.deadline then
    redis.call('HSET', job_key(id), 'deadline', stamp(order.deadline))
  end
  stand_in(order)
end

local function create(order)
  local key = job_key(order.id)
  redis.call('DEL', key)
  redis.call('HSET', key, 'spec', order.spec, 'model', order.model, 'group', order.group, 'share', order.share,
    'priority', order.priority, 'caller', order.caller, 'cost', stamp(order.cost), 'created_at', stamp(now),
    'attempts', 0, 'needs', order.needs)
  if order.passes then redis.call('HSET', key, 'passes', order.passes) end
  if order.deadline then redis.call('HSET', key, 'deadline', stamp(order.deadline)) end
  if order.request_id then redis.call('HSET', key, 'request_id', order.request_id) end
  if order.trace then redis.call('HSET', key, 'trace', order.trace) end
  if order.recompute then redis.call('HSET', key, 'recompute', 1) end
  need_all(order.id, order.input, order.given)
  redis.call('ZADD', OPEN, stamp(now), order.id)
  redis.call('ZADD', P .. 'index', stamp(now), order.id)
  local entry = entries[order.priority] or {line = line_of(order.priority, order.group, order.caller)}
  entries[order.priority], entry[#entry + 1] = entry, order.id
end

-- The record of a finished job goes with its place in the index: those of two busy weeks would fill Redis.
local function shorten_index()
  local index = P .. 'index'
  local oldest = redis.call('ZPOPMIN', index, math.max(0, math.min(redis.call('ZCARD', index) - LISTED, 2 * #orders)))
  for i = 1, #oldest, 2 do
    if redis.call('HEXISTS', job_key(oldest[i]), 'finished_at') == 1 then redis.call('UNLINK', job_key(oldest[i])) end
  end
  redis.call('ZREMRANGEBYSCORE', index, '-inf', stamp(now - KEPT_S))
end

for i, order in ipairs(orders) do
  if order.deadline then order.deadline = order.deadline + now end -- it comes in seconds from now: clocks differ
  words[i] = word_for(order)
end
for _, priority in ipairs(PRIORITIES) do
  local found = full(priority)
  if found then return cjson.encode({full = found}) end
end
if ARGV[4] == '1' then return cjson.encode({words = words}) end
for _, order in ipairs(ARGV[6] == '1' and orders or {}) do
  for digest in string.gmatch((order.input or '') .. ' ' .. (order.given or ''), '%S+') do
    if redis.call('HEXISTS', input_key(digest), 'data') == 0 then return cjson.encode({absent = 1}) end
  end
end

redis.call('SET', P .. 'probe', 1, 'EX', 60) -- a full Redis refuses a script whose first write needs memory
for i, order in ipairs(orders) do
  if words[i] == 'created' then create(order) elseif words[i] == 'joined' then join(order) end
  if words[i] == 'created' or words[i] == 'joined' then want(order.id, order.caller, connected_s) end
end
shorten_index()

for priority, ids in pairs(entries) do
  wait_in(ids.line, ids, 'RPUSH')
  due[priority] = true
end
local bells = cjson.decode(ARGV[5])
for priority in pairs(due) do
  if wanted(priority) and bell_due(priority) then redis.call('LPUSH', P .. priority, bells[priority]) end
end
return cjson.encode({words = words})
