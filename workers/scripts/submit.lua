-- Create or join the jobs of one request; those created wait as one entry, in the list of the first one's group.
-- ARGV: JSON list of {id, spec, model, group, share, deadline?, request_id?, again, recompute}
-- Returns JSON {words: one of created, joined, refused, finished per order; ring: the group whose bell is due, or ''}
local words, created, list = {}, {}, ''

local function join(id, deadline)
  local old = field(id, 'deadline')
  if not deadline then
    redis.call('HDEL', job_key(id), 'deadline')
  elseif old and tonumber(old) < deadline then
    redis.call('HSET', job_key(id), 'deadline', stamp(deadline))
  end
end

local function create(order)
  local key = job_key(order.id)
  redis.call('DEL', key)
  redis.call('HSET', key, 'spec', order.spec, 'model', order.model, 'group', order.group, 'share', order.share,
    'created_at', stamp(now), 'attempts', 0)
  if order.deadline then redis.call('HSET', key, 'deadline', stamp(order.deadline)) end
  if order.request_id then redis.call('HSET', key, 'request_id', order.request_id) end
  if order.recompute then redis.call('HSET', key, 'recompute', 1) end
  redis.call('ZADD', OPEN, stamp(now), order.id)
  if #created == 0 then list = order.group end
  created[#created + 1] = order.id
end

for i, order in ipairs(cjson.decode(ARGV[1])) do
  local key = job_key(order.id)
  local known = redis.call('EXISTS', key) == 1
  if known and redis.call('HEXISTS', key, 'finished_at') == 0 then
    join(order.id, order.deadline)
    words[i] = 'joined'
  elseif known and not order.again and tonumber(field(order.id, 'remembered_until') or 0) > now then
    words[i] = 'refused'
  elseif known and not order.again and redis.call('HEXISTS', key, 'error') == 0
      and redis.call('HEXISTS', key, 'cancelled') == 0 then
    words[i] = 'finished'
  else
    create(order)
    words[i] = 'created'
  end
end

local ring = ''
if #created > 0 then
  local entry = table.concat(created, ' ')
  for _, id in ipairs(created) do redis.call('HSET', job_key(id), 'entry', entry, 'list', list) end
  if redis.call('RPUSH', list_key(list), entry) == 1 then ring = list end
  redis.call('ZADD', GROUPS, 'NX', stamp(now), list)
end
return cjson.encode({words = words, ring = ring})
