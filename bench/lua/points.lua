-- Posts random points. Arguments after `--`: kind, seed, then the models to draw from. Kinds:
--   learn, predict; keep: predict as the published client sends it, which has the prediction kept;
--   track: the same by the native address, for one model; label: keep and the label of what was kept, in turn.
-- Every body differs; wrk counts answers above 399 and socket errors.

local kind, models, threads = nil, {}, {}
local kept = {} -- identifiers that wait for their labels

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
   elseif kind == "predict" then
      body = string.format('{"model":"%s","features":{"x":%d,"y":%d,"z":%d},"identifier":false}', model, x, y, z)
   elseif kind == "track" then
      body = string.format('{"x":{"x":%d,"y":%d,"z":%d},"track":true}', x, y, z)
   elseif kind == "label" and #kept > 0 then
      body = string.format('{"model":"%s","identifier":"%s","label":%d}', model, table.remove(kept), x + 2 * y + 3 * z)
      return wrk.format(nil, "/api/label/", nil, body)
   else
      body = string.format('{"model":"%s","features":{"x":%d,"y":%d,"z":%d}}', model, x, y, z)
   end
   return wrk.format(nil, nil, nil, body)
end

function response(status, headers, body)
   if kind ~= "label" then return end
   local identifier = string.match(body, '"identifier": ?"([^"]+)"')
   if identifier then kept[#kept + 1] = identifier end
end

dofile(debug.getinfo(1, "S").source:match("^@(.*/)") .. "result.lua")
