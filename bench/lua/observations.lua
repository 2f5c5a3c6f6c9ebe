-- Posts observations over the native API. Arguments after `--`: seed, features of an observation, observations of a request,
-- then the streams to draw from. Bodies are made beforehand, and drawn: what they cost would be counted as the server's.

local MOST, VALUES = 256, 200000
local bodies, paths, threads = {}, {}, {}

function setup(thread)
   thread:set("number", #threads)
   table.insert(threads, thread)
end

local function observation(features)
   local x, sum = {}, 0
   for i = 1, features do
      local value = math.random(64)
      if i <= 3 then sum = sum + i * value end
      x[i] = string.format('"x%d":%d', i, value)
   end
   return string.format('{"x":{%s},"y":%.6f}', table.concat(x, ","), sum + math.random())
end

local function body(features, many)
   if many == 1 then return observation(features) end
   local all = {}
   for i = 1, many do all[i] = observation(features) end
   return '{"observations":[' .. table.concat(all, ",") .. ']}'
end

function init(args)
   math.randomseed(tonumber(args[1]) + 1000003 * number)
   local features, many = tonumber(args[2]), tonumber(args[3])
   for i = 1, math.max(8, math.min(MOST, math.floor(VALUES / (features * many)))) do bodies[i] = body(features, many) end
   for i = 4, #args do paths[#paths + 1] = "/api/v1/streams/" .. args[i] .. "/observations/" end
   wrk.method = "POST"
   wrk.headers["Content-Type"] = "application/json"
end

function request()
   return wrk.format(nil, paths[math.random(#paths)], nil, bodies[math.random(#bodies)])
end

dofile(debug.getinfo(1, "S").source:match("^@(.*/)") .. "result.lua")
