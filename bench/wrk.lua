-- Arguments after "--": POST and the octets of its body, or PAUSE and for how many
-- milliseconds each connection rests between two requests.  Prints one line that is
-- JSON; latencies in microseconds.
function init(args)
	if args[1] == "PAUSE" then
		function delay()
			return tonumber(args[2])
		end
	end
	if args[1] == "POST" then
		wrk.method = "POST"
		wrk.body = string.rep("x", tonumber(args[2]))
	end
end

function done(summary, latency, requests)
	local e = summary.errors
	io.write(string.format('{"requests":%d,"us":%d,"bytes":%d,"p50":%d,' ..
	    '"p99":%d,"faults":%d}\n', summary.requests, summary.duration,
	    summary.bytes, latency:percentile(50), latency:percentile(99),
	    e.connect + e.read + e.write + e.status + e.timeout))
end
