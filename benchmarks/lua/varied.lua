-- wrk -s varied.lua URL -- METHOD BODY_BYTES: target, X-Request-ID and two more values differ
-- from request to request (8,192 of them in turn per thread), so that remembering a whole head
-- is of no use to anyone.
local common = dofile(os.getenv("BENCHMARK_LUA") .. "/common.lua")
local requests = {}
local count = 8192
local position = 0

function init(args)
   common.apply(args[1], tonumber(args[2]))
   math.randomseed(7)
   for i = 1, count do
      wrk.headers["X-Request-ID"] = string.format("%08x%08x%08x", math.random(0, 2^31 - 1), math.random(0, 2^31 - 1), i)
      wrk.headers["X-Tenant"] = string.format("tenant-%d", math.random(1, 500))
      wrk.headers["X-Correlation"] = string.format("order-%d", i)
      requests[i] = wrk.format(nil, string.format("/api/v1/prompts/%08x?page=%d", math.random(0, 2^31 - 1), i % 50))
   end
end

function request()
   position = position % count + 1
   return requests[position]
end

done = common.report
