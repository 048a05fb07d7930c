-- Take the webhooks whose time has come. ARGV: most of them, seconds that they are held for.
-- Returns JSON: a list of {id, body}. One whose sender died comes again when the seconds are over.
local WEBHOOKS = P .. 'webhooks'
local taken = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', WEBHOOKS, '-inf', stamp(now), 'LIMIT', 0, ARGV[1])) do
  local body = redis.call('GET', P .. 'webhook:' .. id)
  if body then
    redis.call('ZADD', WEBHOOKS, stamp(now + ARGV[2]), id)
    taken[#taken + 1] = {id = id, body = body}
  else
    redis.call('ZREM', WEBHOOKS, id)
  end
end
return #taken > 0 and cjson.encode(taken) or '[]'
