-- Writes one batch, or nothing (docs/format.md, "State in Redis").
--
-- KEYS: head, serving, then the strings to set, the strings to delete, the sorted sets.
-- ARGV: start, new head, generation, channel, message, how many of each of the three, then the
--       values to set, and for each sorted set: how many added, how many removed, then score and
--       member of each added one, then each removed member.
-- Gives -1, or the stored position where that is not the batch's start.

-- Lua's unpack gives up near 8,000 values.
local CHUNK = 1000

local function number_in(document, name)
  return tonumber(string.match(document, '"' .. name .. '":(%d+)') or '0')
end

local stored = redis.call('GET', KEYS[1])
local position = stored and number_in(stored, 'position') or 0
if position ~= tonumber(ARGV[1]) then
  return position
end

local sets, deletes, sorted = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])
local first_delete = 2 + sets
local first_sorted = first_delete + deletes

-- A script doesn't roll back: whatever can fail has to fail before the first write. This fails
-- for a key that is no sorted set, and costs less than asking for its type.
for i = first_sorted + 1, first_sorted + sorted do
  redis.call('ZCARD', KEYS[i])
end

-- Sets come before deletes: where the memory is full the first write is the one that is refused.
local head = ARGV[2]
if stored then
  local level = string.match(stored, '"level_at_ms":(%d+)')
  local time = redis.call('TIME')
  local now = time[1] * 1000 + math.floor(time[2] / 1000)
  -- Never backwards; but what lies ahead of this server's clock was read before that jumped back.
  if level and tonumber(level) > number_in(head, 'level_at_ms') and tonumber(level) <= now then
    head = string.gsub(head, '"level_at_ms":%d+,', '')
    head = string.gsub(head, '"position"', '"level_at_ms":' .. level .. ',"position"', 1)
  end
end
redis.call('SET', KEYS[1], head)
local serving = redis.call('GET', KEYS[2])
if not serving then
  serving = ARGV[3]
  redis.call('SET', KEYS[2], serving)
end

for from = 1, sets, CHUNK do
  local pairs_ = {}
  for i = from, math.min(from + CHUNK - 1, sets) do
    pairs_[#pairs_ + 1] = KEYS[2 + i]
    pairs_[#pairs_ + 1] = ARGV[8 + i]
  end
  redis.call('MSET', unpack(pairs_))
end

for from = first_delete + 1, first_sorted, CHUNK do
  redis.call('DEL', unpack(KEYS, from, math.min(from + CHUNK - 1, first_sorted)))
end

local at = 8 + sets + 1
for i = first_sorted + 1, first_sorted + sorted do
  local added, removed = 2 * tonumber(ARGV[at]), tonumber(ARGV[at + 1])
  at = at + 2
  for from = at, at + added - 1, CHUNK do
    redis.call('ZADD', KEYS[i], unpack(ARGV, from, math.min(from + CHUNK, at + added) - 1))
  end
  at = at + added
  for from = at, at + removed - 1, CHUNK do
    redis.call('ZREM', KEYS[i], unpack(ARGV, from, math.min(from + CHUNK, at + removed) - 1))
  end
  at = at + removed
end

-- Who hears of a position looks in the generation that serves.
if serving == ARGV[3] then
  redis.call('PUBLISH', ARGV[4], ARGV[5])
end
return -1
