-- Take seconds of work from a caller's token bucket, or give some back. ARGV: caller, seconds, rate, burst.
-- What is dearer than a full bucket takes a full one, and leaves a debt. Returns how long to wait: "0" where it was taken.
local caller, cost, rate, burst = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local key = P .. 'quota:' .. caller
local saved, at = unpack(redis.call('HMGET', key, 'saved', 'at'))
local tokens = saved and math.min(burst, tonumber(saved) + (now - tonumber(at)) * rate) or burst
local missing = math.min(cost, burst) - tokens
if cost > 0 and missing > 0 then return string.format('%.6f', missing / rate) end
tokens = math.min(burst, tokens - cost)
redis.call('HSET', key, 'saved', string.format('%.6f', tokens), 'at', stamp(now))
redis.call('EXPIRE', key, math.ceil((burst - tokens) / rate) + 1)
return '0'
