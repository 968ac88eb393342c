-- wrk -s fixed.lua URL -- METHOD BODY_BYTES: the same request again and again.
local common = dofile(os.getenv("BENCHMARK_LUA") .. "/common.lua")

function init(args)
   common.apply(args[1], tonumber(args[2]))
end

done = common.report
