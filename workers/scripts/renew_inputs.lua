-- Keep inputs for another while. ARGV: ttl in s, digests.
-- Returns for each: '' where there is none, 'data' where its bytes lie here, else the name of its object.
local INPUTS = P .. 'inputs' -- "<bytes> <digest>" of those whose bytes lie here, by their last use
local found = {}
for i = 2, #ARGV do
  local digest, key = ARGV[i], input_key(ARGV[i])
  local there = redis.call('EXISTS', key) == 1
  found[i - 1] = there and (redis.call('HGET', key, 'object') or 'data') or ''
  if there and redis.call('HEXISTS', NEEDS, digest) == 0 then redis.call('EXPIRE', key, ARGV[1]) end
  if found[i - 1] == 'data' then
    redis.call('ZADD', INPUTS, stamp(now), redis.call('HSTRLEN', key, 'data') .. ' ' .. digest)
  end
end
return found
