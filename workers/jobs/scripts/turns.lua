-- Fair turns. At each level (callers of a priority; groups of a caller) those who have waiting work stand in a sorted
-- set by the service that they have received, in estimated seconds; the least served is next.
local PRIORITIES = {'interactive', 'batch'}
local BELLS = P .. 'bells' -- priorities whose bell has rung and is not answered yet, by when
local COST_S = 0.0001 -- the least that a job is charged, so that turns alternate whatever was estimated

local function turns_key(level) return P .. 'turns:' .. level end
local function past_key(level) return P .. 'past:' .. level end
local function depth_key(priority) return P .. 'depth:' .. priority end
local function line_key(line) return P .. 'waiting:' .. line end

local function line_of(priority, group, caller) return priority .. ':' .. group .. ':' .. caller end
local function parts_of(line) return string.match(line, '^(%a+):([^:]*):(.*)$') end
local function groups_of(priority, caller) return priority .. ':' .. caller end

local function waits(level) return redis.call('ZCARD', turns_key(level)) > 0 end

local function least(level)
  local first = redis.call('ZRANGE', turns_key(level), 0, 0, 'WITHSCORES')
  return first[1], tonumber(first[2])
end

-- Who comes starts level with the least served, or where it was when it left if it had more: idle time earns nothing.
local function arrive(level, who)
  if redis.call('ZSCORE', turns_key(level), who) then return end
  local _, floor = least(level)
  local had = tonumber(redis.call('ZSCORE', past_key(level), who) or 0)
  redis.call('ZADD', turns_key(level), math.max(floor or 0, had), who)
  redis.call('ZREM', past_key(level), who)
  redis.call('ZREMRANGEBYSCORE', past_key(level), '-inf', floor or 0)
end

local function depart(level, who)
  local had = redis.call('ZSCORE', turns_key(level), who)
  if not had then return end
  redis.call('ZREM', turns_key(level), who)
  if waits(level) then redis.call('ZADD', past_key(level), had, who) else redis.call('DEL', past_key(level)) end
end

-- Whose line is empty has no more turns.
local function depart_from(priority, group, caller)
  local level = groups_of(priority, caller)
  if redis.call('EXISTS', line_key(line_of(priority, group, caller))) == 0 then
    depart(level, group)
    local class = redis.call('HGET', CLASS_OF, group) -- none where it waits nowhere: it is not to be given one here
    if class and unfile(priority, class, caller, group) == 1 and redis.call('HINCRBY', LINES, group, -1) <= 0 then
      for _, of in ipairs({LINES, NEEDED, CLASS_OF}) do redis.call('HDEL', of, group) end
    end
  end
  if not waits(level) then depart(priority, caller) end
end

local function charge(priority, group, caller, cost)
  local had = redis.call('ZINCRBY', turns_key(priority), cost, caller)
  local own = redis.call('ZINCRBY', turns_key(groups_of(priority, caller)), cost, group)
  for _, class in ipairs(redis.call('SMEMBERS', classes_key(priority))) do
    redis.call('ZADD', ready_key(priority, class), 'XX', had, caller)
  end
  redis.call('ZADD', ready_key(priority, class_of(group), caller), 'XX', own, group)
end

-- How much waits, of each priority: `jobs`, `seconds` of estimated work, and jobs by caller and by group.
local function weigh(id, sign)
  local priority, caller, group, cost =
    unpack(redis.call('HMGET', job_key(id), 'priority', 'caller', 'group', 'cost'))
  local depth = depth_key(priority)
  for _, name in ipairs({'caller:' .. caller, 'group:' .. group}) do
    if redis.call('HINCRBY', depth, name, sign) <= 0 then redis.call('HDEL', depth, name) end
  end
  redis.call('HINCRBYFLOAT', depth, 'seconds', stamp(sign * cost))
  if redis.call('HINCRBY', depth, 'jobs', sign) <= 0 then redis.call('DEL', depth) end
end

local function push(line, entry, command)
  local priority, group, caller = parts_of(line)
  redis.call(command, line_key(line), entry)
  arrive(priority, caller)
  arrive(groups_of(priority, caller), group)
  local had = redis.call('ZSCORE', turns_key(priority), caller)
  local own = redis.call('ZSCORE', turns_key(groups_of(priority, caller)), group)
  if file(priority, class_of(group), caller, group, had, own) == 1 then redis.call('HINCRBY', LINES, group, 1) end
end

-- Jobs that are claimed together wait as one entry.
local function wait_in(line, ids, command)
  local entry = table.concat(ids, ' ')
  local _, group = parts_of(line)
  redis.call('HSETNX', NEEDED, group, field(ids[1], 'needs') or '')
  for _, id in ipairs(ids) do
    redis.call('HSET', job_key(id), 'entry', entry, 'line', line)
    weigh(id, 1)
  end
  push(line, entry, command)
end

-- What lies in lines of an entry that no longer waits is skipped when its turn comes.
local function wait_no_more(id)
  if not field(id, 'entry') then return end
  weigh(id, -1)
  redis.call('HDEL', job_key(id), 'entry', 'line')
end

-- Takes an entry out of its lines where none of its jobs waits any more: what is asked for and withdrawn over and over
-- would pile up where no worker comes by.
local function clear(entry, line)
  local lines = {line}
  for id in string.gmatch(entry, '%S+') do
    if field(id, 'entry') == entry then return end
    for _, name in ipairs(redis.call('HKEYS', job_key(id))) do
      lines[#lines + 1] = string.match(name, '^also:(.*)$')
    end
  end
  for _, one in ipairs(lines) do
    redis.call('LREM', line_key(one), 1, entry)
    depart_from(parts_of(one))
  end
end

-- Whether the bell is to be rung: it is not where it has rung and nobody has answered yet.
local function bell_due(priority) return redis.call('ZADD', BELLS, 'NX', stamp(now), priority) == 1 end
