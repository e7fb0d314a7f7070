-- POST one fixed chat request; print the figures as one JSON line at the end.
-- Arguments after "--": the body, the API key. `request` and `response` stay undefined: then wrk sends one prebuilt
-- buffer and hands nothing to Lua, which is what lets it out-run what it measures.

function init(args)
  wrk.method = "POST"
  wrk.body = args[1]
  wrk.headers["Content-Type"] = "application/json"
  wrk.headers["Accept"] = "*/*"
  wrk.headers["Authorization"] = "Bearer " .. args[2]
end

function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    '\n{"duration_us":%d,"requests":%d,"bytes":%d,"p50_us":%d,"p99_us":%d,"connect":%d,"read":%d,"write":%d,"status":%d,"timeout":%d}\n',
    summary.duration, summary.requests, summary.bytes, latency:percentile(50), latency:percentile(99),
    e.connect, e.read, e.write, e.status, e.timeout))
end
