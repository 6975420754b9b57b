-- Sends requests and counts answers by status: POST with bodies, GET where there are none.
-- Arguments: PATH TOKEN FILE RUN. Each line of FILE is a body; "@N@" in it becomes a running number
-- that no other run has ("@N@" starts with the run's own start second).
local path, headers, bodies, count, run

function init(args)
  path = args[1]
  headers = { ["Content-Type"] = "application/vnd.api+json" }
  if args[2] ~= "-" then headers["Authorization"] = "Bearer " .. args[2] end
  bodies, count, run = {}, 0, args[4]
  for line in io.lines(args[3]) do bodies[#bodies + 1] = line end
end

function request()
  if #bodies == 0 then return wrk.format("GET", path, headers) end
  count = count + 1
  local body = bodies[count % #bodies + 1]:gsub("@N@", run .. "-" .. count)
  return wrk.format("POST", path, headers, body)
end

statuses = {}

function response(status)
  statuses[status] = (statuses[status] or 0) + 1
end

local threads = {}

function setup(thread)
  threads[#threads + 1] = thread
end

function done(summary, latency)
  for _, thread in ipairs(threads) do
    for status, number in pairs(thread:get("statuses")) do
      io.write(string.format("status %d %d\n", status, number))
    end
  end
  io.write(string.format("requests %d\n", summary.requests))
  io.write(string.format("duration_us %d\n", summary.duration))
  io.write(string.format("p50_us %d\n", latency:percentile(50)))
  io.write(string.format("p99_us %d\n", latency:percentile(99)))
  local errors = summary.errors
  io.write(string.format("errors %d\n", errors.connect + errors.read + errors.write + errors.timeout))
end
