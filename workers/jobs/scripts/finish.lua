-- Close a job. ARGV: id, owner, event, record ttl in s, then fields and values to write.
-- Returns 1 where this was the first terminal write. The waiters are told in any case.
local id, owner = ARGV[1], ARGV[2]
local entry, line = unpack(redis.call('HMGET', job_key(id), 'entry', 'line'))
local first = close(id, ARGV[4], unpack(ARGV, 5))
if entry then clear(entry, line) end
if redis.call('GET', lease_key(id)) == owner then redis.call('DEL', lease_key(id)) end
tell(id, ARGV[3])
return first and 1 or 0
