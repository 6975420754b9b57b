-- Gives a lock back if its owner still has it. KEYS: its name. ARGV: owner.

if redis.call('GET', KEYS[1]) == ARGV[1] then
  redis.call('DEL', KEYS[1])
end
return 1
