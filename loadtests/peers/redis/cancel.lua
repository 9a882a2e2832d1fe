-- Cancels a hold and gives its units back. KEYS: stock, hold. 1 cancelled (now or before), 0 no live hold.
local hold = redis.call('GET', KEYS[2])
if not hold then
  return 0
end
local state = string.sub(hold, 1, 1)
if state == 'H' then
  redis.call('INCRBY', KEYS[1], string.sub(hold, 2))
  redis.call('SET', KEYS[2], 'X')
  return 1
end
return state == 'X' and 1 or 0
