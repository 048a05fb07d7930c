-- Want jobs no more; what nobody else wants, and its caller withdrew from, is cancelled.
-- ARGV: record ttl in s, member of their interest, 1 where a caller withdraws, ids. Returns unknown, finished or withdrawn each.
local words = {}
for i = 4, #ARGV do
  local id = ARGV[i]
  if redis.call('EXISTS', job_key(id)) == 0 then
    words[#words + 1] = 'unknown'
  elseif not unfinished(id) then
    words[#words + 1] = 'finished'
  else
    redis.call('ZREM', interest_key(id), ARGV[2])
    if ARGV[3] == '1' then redis.call('SADD', WITHDRAWN, id) end
    if unwanted(id) then cancel(id, ARGV[1]) end
    words[#words + 1] = 'withdrawn'
  end
end
return words
