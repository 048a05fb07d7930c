-- Keep an input for another while, or store it where it is not there.
-- ARGV: digest, ttl in s, bytes that inputs may take here; then to store it: kind, 'data' or 'object', value
-- Returns 'data' where its bytes lie here, '' where it is not there, 'full' where it does not fit beside the inputs of
--   unfinished jobs, else the name of its object.
local INPUTS = P .. 'inputs' -- "<bytes> <digest>" of those whose bytes lie here, by their last use
local BYTES = P .. 'input_bytes'
local FRESH_S = 10 -- the job of so new an input may not be written yet
local digest, ttl, space, kind, place, value = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4], ARGV[5], ARGV[6]
local key = input_key(digest)

local function needed(other) return redis.call('HEXISTS', NEEDS, other) == 1 end

local function forget(member, bytes, old)
  redis.call('ZREM', INPUTS, member)
  redis.call('DECRBY', BYTES, bytes)
  redis.call('DEL', input_key(old))
end

local function make_room()
  while tonumber(redis.call('GET', BYTES) or 0) + #value > space do
    local member, used = unpack(redis.call('ZRANGE', INPUTS, 0, 0, 'WITHSCORES'))
    if not member or tonumber(used) > now - FRESH_S then return false end
    local bytes, old = string.match(member, '^(%d+) (.*)$')
    if needed(old) then redis.call('ZADD', INPUTS, stamp(now), member) else forget(member, bytes, old) end
  end
  return true
end

-- Two go for each that comes: what has expired is counted no more; what is needed lets the next be looked at.
local function look_at_oldest()
  for _, member in ipairs(redis.call('ZRANGE', INPUTS, '-inf', '(' .. stamp(now - FRESH_S), 'BYSCORE', 'LIMIT', 0, 2)) do
    local bytes, old = string.match(member, '^(%d+) (.*)$')
    if redis.call('EXISTS', input_key(old)) == 0 then
      forget(member, bytes, old)
    elseif needed(old) then
      redis.call('ZADD', INPUTS, stamp(now - FRESH_S), member)
    end
  end
end

if redis.call('EXISTS', key) == 0 then
  if not kind then return '' end
  if place == 'data' and not make_room() then return 'full' end
  redis.call('HSET', key, 'kind', kind, 'ttl', ttl, place, value)
end
if not needed(digest) then redis.call('EXPIRE', key, ttl) end
local object = redis.call('HGET', key, 'object')
if object then return object end
local bytes = redis.call('HSTRLEN', key, 'data')
if redis.call('ZADD', INPUTS, stamp(now), bytes .. ' ' .. digest) == 1 then
  redis.call('INCRBY', BYTES, bytes)
  look_at_oldest()
end
return 'data'
