-- Since when the oldest wait. ARGV: most unfinished jobs to look at, oldest first.
-- Returns JSON {priority: s}, without the priorities of which none waits.
local found, unfinished_ids = {}, redis.call('ZRANGE', OPEN, 0, ARGV[1] - 1, 'WITHSCORES')
local missing = 0
for _, priority in ipairs(PRIORITIES) do missing = missing + (waits(priority) and 1 or 0) end
for i = 1, #unfinished_ids, 2 do
  if missing == 0 then break end
  local priority, entry = unpack(redis.call('HMGET', job_key(unfinished_ids[i]), 'priority', 'entry'))
  if entry and not found[priority] then
    found[priority], missing = now - unfinished_ids[i + 1], missing - 1
  end
end
return next(found) and cjson.encode(found) or '{}'
