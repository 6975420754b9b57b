-- Takes or renews a lock. KEYS: its name. ARGV: owner, milliseconds. Gives 1, or 0: another has it.
--
-- DEL first: a Redis whose memory is full refuses a SET only before a script has written anything.

local owner = redis.call('GET', KEYS[1])
if owner and owner ~= ARGV[1] then
  return 0
end
redis.call('DEL', KEYS[1])
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
