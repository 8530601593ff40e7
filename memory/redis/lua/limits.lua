-- `limit_of`: how many slots each of the servers has, in their order.
local limit_of = {}
for one in string.gmatch(limits, '%d+') do table.insert(limit_of, tonumber(one)) end
