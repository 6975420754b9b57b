-- Stores when this replica last had folded to the log's end; never backwards, unless what is stored
-- lies ahead of this server's clock: then that has jumped back since.
--
-- KEYS: head, position of the data keys, serving.
-- ARGV: the log's end, the replica's clock before that end was asked for.
-- Gives the stored position, that of the data keys, level-at, and the generation that serves.

local data_keys = tonumber(redis.call('GET', KEYS[2]) or '0')
local head = redis.call('GET', KEYS[1])
local serving = redis.call('GET', KEYS[3]) or ''
if not head then
  return {0, data_keys, 0, serving}
end
local position = tonumber(string.match(head, '"position":(%d+)') or '0')
local level = tonumber(string.match(head, '"level_at_ms":(%d+)') or '0')
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if position >= tonumber(ARGV[1]) and (tonumber(ARGV[2]) > level or level > now) then
  head = string.gsub(head, '"level_at_ms":%d+,', '')
  head = string.gsub(head, '"position"', '"level_at_ms":' .. ARGV[2] .. ',"position"', 1)
  redis.call('SET', KEYS[1], head)
  level = tonumber(ARGV[2])
end
return {position, data_keys, level, serving}
