-- Follow the seconds that a pass takes, by their geometric mean: a fit that one batch waited for is soon outweighed.
-- ARGV: weight of the newest, then names and seconds.
local PACE = P .. 'pace'
local LEAST_S = 1e-9
for i = 2, #ARGV, 2 do
  local new = math.max(tonumber(ARGV[i + 1]), LEAST_S)
  local old = tonumber(redis.call('HGET', PACE, ARGV[i]) or new)
  redis.call('HSET', PACE, ARGV[i], string.format('%.9g', old * (new / old) ^ ARGV[1]))
end
