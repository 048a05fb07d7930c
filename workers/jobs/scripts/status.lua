-- What is known of jobs, in one reading. ARGV: ids.
-- Returns JSON [{record fields, leased, position, seconds_before, unserved, progress} or false]
local MANY = 20 -- of so many ids each line is read once: a search for each would hold up Redis where much waits
local places = {}

local function pairs_of(flat)
  local found = {}
  for i = 1, #flat, 2 do found[flat[i]] = flat[i + 1] end
  return found
end

local function depth_of(priority)
  local jobs, seconds = unpack(redis.call('HMGET', depth_key(priority), 'jobs', 'seconds'))
  return tonumber(jobs or 0), tonumber(seconds or 0)
end

local function place_of(line, entry)
  if #ARGV < MANY then return redis.call('LPOS', line_key(line), entry) end
  if not places[line] then
    places[line] = {}
    for i, one in ipairs(redis.call('LRANGE', line_key(line), 0, -1)) do
      places[line][one] = places[line][one] or i - 1
    end
  end
  return places[line][entry]
end

-- Turns alternate among callers, and among the groups of a caller: so before an entry that k precede in its line go k of
-- each other line, if they have so many; and before batch all that is interactive. Also the seconds of that work.
local function before(record)
  local priority, group, caller = parts_of(record.line)
  local line = line_key(record.line)
  local ahead = place_of(record.line, record.entry)
  if not ahead then return nil end
  local lines = redis.call('ZCARD', turns_key(priority)) * redis.call('ZCARD', turns_key(groups_of(priority, caller)))
  local jobs, seconds = depth_of(priority)
  local position = math.max(ahead, math.min(ahead * lines, jobs - redis.call('LLEN', line) + ahead))
  local work = jobs > 0 and seconds * math.min(1, position / jobs) or 0
  if priority == 'batch' then
    local first, first_seconds = depth_of('interactive')
    position, work = position + first, work + first_seconds
  end
  return position, work
end

local answers = {}
for i, id in ipairs(ARGV) do
  local record = pairs_of(redis.call('HGETALL', job_key(id)))
  if record.created_at then
    record.spec = nil
    record.leased = redis.call('EXISTS', lease_key(id)) == 1
    if record.line then
      record.position, record.seconds_before = before(record)
      record.unserved = not served(class_of(record.group)) or nil
    end
    local progress = redis.call('HGETALL', P .. 'progress:' .. id)
    if #progress > 0 then record.progress = pairs_of(progress) end
    answers[i] = record
  else
    answers[i] = false
  end
end
return cjson.encode(answers)
