-- Holds units of a SKU. KEYS: stock, hold. ARGV: quantity.
-- 1 held, 0 not enough; the same request again gives the first answer again.
if redis.call('EXISTS', KEYS[2]) == 1 then
  return 1
end
local quantity = tonumber(ARGV[1])
if tonumber(redis.call('GET', KEYS[1]) or '0') < quantity then
  return 0
end
redis.call('DECRBY', KEYS[1], quantity)
redis.call('SET', KEYS[2], 'H' .. ARGV[1])
return 1
