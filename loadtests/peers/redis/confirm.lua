-- Confirms a hold. KEYS: hold. 1 confirmed (now or before), 0 there is no live hold.
local hold = redis.call('GET', KEYS[1])
if not hold then
  return 0
end
local state = string.sub(hold, 1, 1)
if state == 'H' then
  redis.call('SET', KEYS[1], 'C' .. string.sub(hold, 2))
  return 1
end
return state == 'C' and 1 or 0
