-- An open connection wants jobs for the time being. ARGV: member of their interest, seconds, ids.
for i = 3, #ARGV do
  if unfinished(ARGV[i]) then redis.call('ZADD', interest_key(ARGV[i]), stamp(now + ARGV[2]), ARGV[1]) end
end
