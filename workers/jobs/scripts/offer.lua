-- A worker tells what it serves, again and again while it lives. ARGV: profile, s that it holds, what it serves.
-- What waits, and nobody with such a profile could do before, is filed anew. Returns the priorities whose bells are due.
local profile, ttl = ARGV[1], ARGV[2]

local function known()
  return alive(profile) and redis.call('SISMEMBER', PROFILES, profile) == 1
end

-- The new class of each group that waits and that this profile serves, without those profiles that are no more.
local function changed()
  local found, groups = {}, redis.call('HGETALL', CLASS_OF)
  for i = 1, #groups, 2 do
    local group, class = groups[i], groups[i + 1]
    if not holds(class, profile) and serves(profile, words_of(redis.call('HGET', NEEDED, group) or '')) then
      local profiles = {profile}
      for other in string.gmatch(class, '[^,]+') do
        if alive(other) then profiles[#profiles + 1] = other end
      end
      table.sort(profiles)
      found[group] = table.concat(profiles, ',')
    end
  end
  return found
end

local function file_anew(priority, class, found)
  for _, caller in ipairs(redis.call('ZRANGE', ready_key(priority, class), 0, -1)) do
    local had = redis.call('ZSCORE', ready_key(priority, class), caller)
    local groups = redis.call('ZRANGE', ready_key(priority, class, caller), 0, -1, 'WITHSCORES')
    for i = 1, #groups, 2 do
      if found[groups[i]] then
        unfile(priority, class, caller, groups[i])
        file(priority, found[groups[i]], caller, groups[i], had, groups[i + 1])
      end
    end
  end
end

local function begin()
  redis.call('DEL', profile_key(profile))
  for i = 3, #ARGV do redis.call('SADD', profile_key(profile), ARGV[i]) end
  for _, other in ipairs(redis.call('SMEMBERS', PROFILES)) do
    if not alive(other) then redis.call('SREM', PROFILES, other) end
  end
  redis.call('SADD', PROFILES, profile)
  local found = changed()
  for _, priority in ipairs(PRIORITIES) do
    for _, class in ipairs(redis.call('SMEMBERS', classes_key(priority))) do
      if not holds(class, profile) then file_anew(priority, class, found) end
    end
  end
  for group, class in pairs(found) do redis.call('HSET', CLASS_OF, group, class) end
end

if not known() then begin() end
redis.call('EXPIRE', profile_key(profile), ttl)
local ring = {}
for _, priority in ipairs(PRIORITIES) do
  if wanted(priority, profile) and bell_due(priority) then ring[#ring + 1] = priority end
end
return ring
