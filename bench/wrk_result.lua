-- SPDX-License-Identifier: Apache-2.0
-- Writes what run.sh reads, to the file BENCH_RESULT: requests, seconds, errors, p50 and p99 in
-- microseconds. wrk counts as "status" what is above 399; run.sh asks the gateway for the rest.
return function(summary, latency)
    local e = summary.errors
    local out = assert(io.open(os.getenv("BENCH_RESULT"), "w"))
    out:write(string.format("%d %.6f %d %d %d\n", summary.requests, summary.duration / 1e6,
        e.connect + e.read + e.write + e.status + e.timeout,
        latency:percentile(50), latency:percentile(99)))
    out:close()
end
