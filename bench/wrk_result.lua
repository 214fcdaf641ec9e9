-- SPDX-License-Identifier: Apache-2.0
-- Writes what suite/clients.py reads, to the file BENCH_RESULT: requests, seconds, broken connections and
-- timeouts, answers above 399, and p50, p99 and p99.9 in microseconds.
return function(summary, latency)
    local e = summary.errors
    local out = assert(io.open(os.getenv("BENCH_RESULT"), "w"))
    out:write(string.format("%d %.6f %d %d %d %d %d\n", summary.requests, summary.duration / 1e6,
        e.connect + e.read + e.write + e.timeout, e.status,
        latency:percentile(50), latency:percentile(99), latency:percentile(99.9)))
    out:close()
end
