-- Makes another generation serve a partition, if all that it must be is so.
--
-- KEYS: serving, head of the generation that is to serve, head of the one that does.
-- ARGV: the generation that serves, the one that is to.
-- Gives 1: it serves now, or did before. 0: it is behind, or was never level: try again. -1: neither
-- of the two serves.

local serving = redis.call('GET', KEYS[1])
if serving == ARGV[2] then
  return 1
end
if serving ~= ARGV[1] then
  return -1
end
local function number_in(document, name)
  return tonumber(string.match(document or '', '"' .. name .. '":(%d+)') or '0')
end
local to, from = redis.call('GET', KEYS[2]), redis.call('GET', KEYS[3])
-- Answers never go back: not behind what was answered, and not without an age.
if number_in(to, 'position') < number_in(from, 'position') or number_in(to, 'level_at_ms') == 0 then
  return 0
end
-- PERSIST changes nothing: a Redis whose memory is full refuses a SET only before a script has written.
redis.call('PERSIST', KEYS[1])
redis.call('SET', KEYS[1], ARGV[2])
return 1
