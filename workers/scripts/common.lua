local P = 'whence:'
local OPEN, GROUPS, EVENTS = P .. 'open', P .. 'groups', P .. 'events'

local function job_key(id) return P .. 'job:' .. id end
local function lease_key(id) return P .. 'lease:' .. id end
local function list_key(group) return P .. 'waiting:' .. group end

local clock = redis.call('TIME')
local now = tonumber(clock[1]) + tonumber(clock[2]) / 1e6

local function stamp(seconds) return string.format('%.6f', seconds) end

local function field(id, name) return redis.call('HGET', job_key(id), name) end

-- The first terminal write wins: false where the job is unknown or already finished.
local function close(id, record_ttl, ...)
  local key = job_key(id)
  if redis.call('EXISTS', key) == 0 or redis.call('HEXISTS', key, 'finished_at') == 1 then return false end
  redis.call('HSET', key, 'finished_at', stamp(now), ...)
  redis.call('HDEL', key, 'entry', 'list')
  redis.call('EXPIRE', key, record_ttl)
  redis.call('ZREM', OPEN, id)
  redis.call('DEL', P .. 'progress:' .. id)
  return true
end

local function tell(id, event) redis.call('PUBLISH', EVENTS, id .. ' ' .. event) end

-- A job found in neither list nor lease goes to the front of its own group, alone, and its bell is due at once.
local function put_back(id)
  local group = field(id, 'group')
  redis.call('HSET', job_key(id), 'entry', id, 'list', group)
  redis.call('HDEL', job_key(id), 'started_at')
  redis.call('LPUSH', list_key(group), id)
  redis.call('ZADD', GROUPS, 0, group)
  tell(id, 'queued')
  return group
end

local function overdue(id)
  local deadline = field(id, 'deadline')
  return deadline and tonumber(deadline) < now
end
