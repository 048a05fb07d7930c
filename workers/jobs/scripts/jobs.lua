-- Who wants a job: callers for good, open connections until they lapse.
local WITHDRAWN = P .. 'withdrawn' -- unfinished jobs that some caller withdrew from

local function interest_key(id) return P .. 'interest:' .. id end

local function unwanted(id)
  return redis.call('SISMEMBER', WITHDRAWN, id) == 1
    and redis.call('ZCOUNT', interest_key(id), '(' .. stamp(now), '+inf') == 0
end

local function want(id, caller, connected_s)
  redis.call('ZADD', interest_key(id), '+inf', 'caller:' .. caller)
  if connected_s > 0 then redis.call('ZADD', interest_key(id), stamp(now + connected_s), 'open:' .. stamp(now)) end
  redis.call('SREM', WITHDRAWN, id)
end

local function forget(id)
  redis.call('ZREM', OPEN, id)
  redis.call('SREM', WITHDRAWN, id)
  redis.call('DEL', interest_key(id), P .. 'progress:' .. id)
end

-- The first terminal write wins: false where the job is unknown or already finished. A full Redis takes no script whose
-- first write needs memory, and work has to end there too: so this forgets before it writes.
local function close(id, record_ttl, ...)
  if not unfinished(id) then return false end
  forget(id)
  wait_no_more(id)
  release(id)
  redis.call('HDEL', job_key(id), 'spec', 'needs') -- of a table of rules it is large, and the record stays for weeks
  redis.call('HSET', job_key(id), 'finished_at', stamp(now), ...)
  redis.call('EXPIRE', job_key(id), record_ttl)
  return true
end

local function cancel(id, record_ttl)
  local entry, line = unpack(redis.call('HMGET', job_key(id), 'entry', 'line'))
  if close(id, record_ttl, 'cancelled', 1) then
    if entry then clear(entry, line) end
    tell(id, 'cancelled')
  end
end

-- A job that lost its worker goes to the front of its own line, alone. Returns its priority.
local function put_back(id)
  local priority, caller, group = unpack(redis.call('HMGET', job_key(id), 'priority', 'caller', 'group'))
  redis.call('HDEL', job_key(id), 'started_at')
  wait_in(line_of(priority, group, caller), {id}, 'LPUSH')
  tell(id, 'queued')
  return priority
end

local function overdue(id)
  local deadline = field(id, 'deadline')
  return deadline and tonumber(deadline) < now
end
