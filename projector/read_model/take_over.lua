-- Takes sealed data keys over, in the order of their offsets, or nothing: a late writer must not
-- bring an erased one back.
--
-- KEYS: position, then the data keys. ARGV: start, end, then their values.
-- Gives -1, or the stored position where that is not the start.

local CHUNK = 1000

local position = tonumber(redis.call('GET', KEYS[1]) or '0')
if position ~= tonumber(ARGV[1]) then
  return position
end
redis.call('SET', KEYS[1], ARGV[2])
for from = 2, #KEYS, CHUNK do
  local pairs_ = {}
  for i = from, math.min(from + CHUNK - 1, #KEYS) do
    pairs_[#pairs_ + 1] = KEYS[i]
    pairs_[#pairs_ + 1] = ARGV[i + 1]
  end
  redis.call('MSET', unpack(pairs_))
end
return -1
