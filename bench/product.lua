-- SPDX-License-Identifier: Apache-2.0
-- wrk: GET of one product. The request is built once, so wrk itself stays cheap.
wrk.headers["Authorization"] = "Bearer " .. os.getenv("BENCH_TOKEN")

function done(summary, latency)
    dofile(os.getenv("BENCH_DIR") .. "/wrk_result.lua")(summary, latency)
end
