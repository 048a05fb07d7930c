-- Who can do what. A worker's profile is the set of what it serves: versions of models, and methods with their revisions.
-- A group of jobs needs some of these; its class is the profiles that have all of them, sorted, with commas. So a worker
-- finds work among the few classes that hold its profile, whatever waits for others.
local PROFILES = P .. 'profiles' -- those that some worker had lately
local NEEDED, CLASS_OF = P .. 'needed', P .. 'class_of' -- by group, for as long as it waits anywhere
local LINES = P .. 'lines' -- in how many lines each group waits

local function profile_key(profile) return P .. 'profile:' .. profile end

local function words_of(text)
  local words = {}
  for word in string.gmatch(text, '%S+') do words[#words + 1] = word end
  return words
end

local function alive(profile) return redis.call('EXISTS', profile_key(profile)) == 1 end

local function serves(profile, needs)
  if #needs == 0 then return false end
  for _, there in ipairs(redis.call('SMISMEMBER', profile_key(profile), unpack(needs))) do
    if there == 0 then return false end
  end
  return true
end

local function holds(class, profile) return string.find(class, profile, 1, true) ~= nil end

-- Whether some worker lives that can do what is of this class.
local function served(class)
  for profile in string.gmatch(class, '[^,]+') do
    if alive(profile) then return true end
  end
  return false
end

local function class_of(group)
  local known = redis.call('HGET', CLASS_OF, group)
  if known then return known end
  local needs, found = words_of(redis.call('HGET', NEEDED, group) or ''), {}
  for _, profile in ipairs(redis.call('SMEMBERS', PROFILES)) do
    if serves(profile, needs) then found[#found + 1] = profile end
  end
  table.sort(found)
  local class = table.concat(found, ',')
  redis.call('HSET', CLASS_OF, group, class)
  return class
end

-- By class, who may be taken from: callers, and groups of a caller, with the service that they have in their turns.
local function classes_key(priority) return P .. 'classes:' .. priority end
local function ready_key(priority, class, caller)
  return P .. 'ready:' .. priority .. ':' .. class .. (caller and ':' .. caller or '')
end

local function file(priority, class, caller, group, had, own)
  redis.call('SADD', classes_key(priority), class)
  redis.call('ZADD', ready_key(priority, class), had, caller)
  return redis.call('ZADD', ready_key(priority, class, caller), own, group)
end

local function unfile(priority, class, caller, group)
  local gone = redis.call('ZREM', ready_key(priority, class, caller), group)
  if redis.call('EXISTS', ready_key(priority, class, caller)) == 0 then
    redis.call('ZREM', ready_key(priority, class), caller)
    if redis.call('EXISTS', ready_key(priority, class)) == 0 then redis.call('SREM', classes_key(priority), class) end
  end
  return gone
end

-- Whether work of a priority waits that some worker can do; with a profile, one that has it.
local function wanted(priority, profile)
  for _, class in ipairs(redis.call('SMEMBERS', classes_key(priority))) do
    if profile and holds(class, profile) or not profile and served(class) then return true end
  end
  return false
end
