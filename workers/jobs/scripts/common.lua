local P = 'whence:'
local OPEN, EVENTS = P .. 'open', P .. 'events'
local NEEDS = P .. 'needs' -- unfinished jobs by the digest of their input

local function job_key(id) return P .. 'job:' .. id end
local function lease_key(id) return P .. 'lease:' .. id end
local function input_key(digest) return P .. 'input:' .. digest end

local clock = redis.call('TIME')
local now = tonumber(clock[1]) + tonumber(clock[2]) / 1e6

local function stamp(seconds) return string.format('%.6f', seconds) end

local function field(id, name) return redis.call('HGET', job_key(id), name) end

local function unfinished(id) return redis.call('EXISTS', job_key(id)) == 1 and not field(id, 'finished_at') end

local function tell(id, event) redis.call('PUBLISH', EVENTS, id .. ' ' .. event) end

-- An input stays for as long as an unfinished job needs it, and its ttl begins again after the last of them.
-- Those in a job's parameters (`given`, digests with spaces) stay as its own does.
local function need(digest)
  redis.call('HINCRBY', NEEDS, digest, 1)
  redis.call('PERSIST', input_key(digest))
end

local function need_all(id, input, given)
  if input then redis.call('HSET', job_key(id), 'input', input) end
  if given then redis.call('HSET', job_key(id), 'given', given) end
  for digest in string.gmatch((input or '') .. ' ' .. (given or ''), '%S+') do need(digest) end
end

local function release(id)
  for digest in string.gmatch((field(id, 'input') or '') .. ' ' .. (field(id, 'given') or ''), '%S+') do
    if redis.call('HINCRBY', NEEDS, digest, -1) <= 0 then
      redis.call('HDEL', NEEDS, digest)
      redis.call('EXPIRE', input_key(digest), redis.call('HGET', input_key(digest), 'ttl') or 3600)
    end
  end
end
