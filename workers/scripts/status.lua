-- What is known of jobs, in one reading. ARGV: ids. Returns JSON [{record fields, leased, position, progress} or false]
local function pairs_of(flat)
  local found = {}
  for i = 1, #flat, 2 do found[flat[i]] = flat[i + 1] end
  return found
end

local answers = {}
for i, id in ipairs(ARGV) do
  local record = pairs_of(redis.call('HGETALL', job_key(id)))
  if record.created_at then
    record.spec = nil
    record.leased = redis.call('EXISTS', lease_key(id)) == 1
    if record.entry then record.position = redis.call('LPOS', list_key(record.list), record.entry) or nil end
    local progress = redis.call('HGETALL', P .. 'progress:' .. id)
    if #progress > 0 then record.progress = pairs_of(progress) end
    answers[i] = record
  else
    answers[i] = false
  end
end
return cjson.encode(answers)
