-- Stores when this replica last had folded to the log's end; never backwards.
--
-- KEYS: head, position of the data keys.
-- ARGV: the log's end, the replica's clock before that end was asked for.
-- Gives the stored position, that of the data keys, and level-at.

local data_keys = tonumber(redis.call('GET', KEYS[2]) or '0')
local head = redis.call('GET', KEYS[1])
if not head then
  return {0, data_keys, 0}
end
local position = tonumber(string.match(head, '"position":(%d+)') or '0')
local level = tonumber(string.match(head, '"level_at_ms":(%d+)') or '0')
if position >= tonumber(ARGV[1]) and tonumber(ARGV[2]) > level then
  head = string.gsub(head, '"level_at_ms":%d+,', '')
  head = string.gsub(head, '"position"', '"level_at_ms":' .. ARGV[2] .. ',"position"', 1)
  redis.call('SET', KEYS[1], head)
  level = tonumber(ARGV[2])
end
return {position, data_keys, level}
