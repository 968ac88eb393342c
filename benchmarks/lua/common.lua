-- Shared by the load scripts: the ten request header fields and the report as one JSON line.
local common = {}

common.headers = {
   ["Accept"] = "application/json",
   ["Accept-Encoding"] = "gzip, deflate",
   ["Accept-Language"] = "en-GB,en;q=0.8",
   ["Authorization"] = "Bearer 3f1c0b9e5d7a4c6f8e2b1a0d9c8b7a6f",
   ["Cache-Control"] = "no-cache",
   ["User-Agent"] = "benchmark/1.0",
   ["X-Client-Version"] = "2.14.0",
   ["X-Correlation"] = "orders-7",
   ["X-Tenant"] = "acme",
}

function common.apply(method, body_bytes)
   for name, value in pairs(common.headers) do
      wrk.headers[name] = value
   end
   wrk.method = method
   if body_bytes > 0 then
      wrk.headers["Content-Type"] = "application/json"
      wrk.body = '{"text":"' .. string.rep("x", body_bytes - 11) .. '"}'
   end
end

function common.report(summary, latency)
   local errors = summary.errors
   print(string.format(
      'BENCHMARK {"requests":%d,"duration":%.6f,"bytes":%.0f,"p50":%.6f,"p99":%.6f,' ..
      '"connect":%d,"read":%d,"write":%d,"status":%d,"timeout":%d}',
      summary.requests, summary.duration / 1e6, summary.bytes,
      latency:percentile(50) / 1e6, latency:percentile(99) / 1e6,
      errors.connect, errors.read, errors.write, errors.status, errors.timeout))
end

return common
