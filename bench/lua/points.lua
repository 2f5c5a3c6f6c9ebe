-- Posts random points. Arguments after `--`: kind (learn | predict), seed, then the models to draw from.
-- Every body differs; wrk counts answers above 399 and socket errors.

local kind, models, threads = nil, {}, {}

function setup(thread)
   thread:set("number", #threads)
   table.insert(threads, thread)
end

function init(args)
   kind = args[1]
   math.randomseed(tonumber(args[2]) + 1000003 * number)
   for i = 3, #args do models[#models + 1] = args[i] end
   wrk.method = "POST"
   wrk.headers["Content-Type"] = "application/json"
   local token = os.getenv("BENCH_TOKEN")
   if token then wrk.headers["Authorization"] = "Bearer " .. token end
end

function request()
   local x, y, z = math.random(64), math.random(64), math.random(64)
   local model = models[math.random(#models)]
   local body
   if kind == "learn" then
      body = string.format('{"model":"%s","features":{"x":%d,"y":%d,"z":%d},"ground_truth":%.6f}',
         model, x, y, z, x + 2 * y + 3 * z + math.random())
   else
      body = string.format('{"model":"%s","features":{"x":%d,"y":%d,"z":%d},"identifier":false}', model, x, y, z)
   end
   return wrk.format(nil, nil, nil, body)
end

dofile(debug.getinfo(1, "S").source:match("^@(.*/)") .. "result.lua")
