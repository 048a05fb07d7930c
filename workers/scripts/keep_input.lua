-- Store an input that is not there. ARGV: digest, kind, ttl in s, bytes that inputs may take here, 'data' or 'object', value
-- Returns 0 where it does not fit beside the inputs of unfinished jobs.
local INPUTS = P .. 'inputs' -- "<bytes> <digest>" of those whose bytes lie here, by their last use
local BYTES = P .. 'input_bytes'
local FRESH_S = 10 -- the job of so new an input may not be written yet
local digest, kind, ttl, space, place, value = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5], ARGV[6]

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
    if redis.call('HEXISTS', NEEDS, old) == 1 then
      redis.call('ZADD', INPUTS, stamp(now), member)
    else
      forget(member, bytes, old)
    end
  end
  return true
end

if place == 'data' then
  if not make_room() then return 0 end
  local member = #value .. ' ' .. digest
  if redis.call('ZADD', INPUTS, stamp(now), member) == 1 then redis.call('INCRBY', BYTES, #value) end
end
redis.call('HSET', input_key(digest), 'kind', kind, 'ttl', ttl, place, value)
redis.call('EXPIRE', input_key(digest), ttl)
return 1
