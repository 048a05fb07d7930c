-- What is sent under a model's name becomes another, or nothing. ARGV: name, what it has to be now ("" for anything),
-- what it becomes ("" for nothing). Returns whether it was done (1), what it was ("" for nothing), and whether another
-- name still has that.
local uploads, replaced, name, wanted, new = P .. 'uploads', P .. 'replaced', ARGV[1], ARGV[2], ARGV[3]
local before = redis.call('HGET', uploads, name) or ''
if wanted ~= '' and before ~= wanted then return {0, before, 0} end
if new == '' then redis.call('HDEL', uploads, name) else redis.call('HSET', uploads, name, new) end
redis.call('SREM', P .. 'unloaded', name)
if before ~= '' and before ~= new then redis.call('ZADD', replaced, stamp(now), before) end
redis.call('ZREM', replaced, new)
local held = 0
for _, place in ipairs(redis.call('HVALS', uploads)) do
  if place == before then held = 1 end
end
return {1, before, held}
