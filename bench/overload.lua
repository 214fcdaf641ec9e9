-- SPDX-License-Identifier: Apache-2.0
-- wrk: BENCH_KIND=list asks for pages of products, BENCH_KIND=sale sells (sale.lua). All connections
-- together send BENCH_RATE requests a second, or as fast as they get answers when it is 0; a
-- connection that waits for its answer sends less. BENCH_RESULT gets a line: answers 2xx, answers
-- 503, others, and for how many seconds.
local kind, rate = os.getenv("BENCH_KIND"), tonumber(os.getenv("BENCH_RATE"))
local pause_ms = rate > 0 and 1000 * os.getenv("BENCH_CONNECTIONS") / rate or 0
local threads = {}
ok, shed, other = 0, 0, 0

if kind == "sale" then
    dofile(os.getenv("BENCH_DIR") .. "/sale.lua")
else
    wrk.path = "/v1/products?limit=200"
    wrk.headers["Authorization"] = "Bearer " .. os.getenv("BENCH_TOKEN")
end
local setup_of_kind = setup

function setup(thread)
    table.insert(threads, thread)
    if setup_of_kind then
        setup_of_kind(thread)
    end
end

-- Without chance all connections would keep time, and each beat were a burst.
if pause_ms > 0 then
    function delay()
        return math.random(0, 2 * math.floor(pause_ms))
    end
end

function response(status)
    if status >= 200 and status < 300 then
        ok = ok + 1
    elseif status == 503 then
        shed = shed + 1
    else
        other = other + 1
    end
end

function done(summary)
    local sums = {0, 0, 0}
    for _, thread in ipairs(threads) do
        for i, name in ipairs({"ok", "shed", "other"}) do
            sums[i] = sums[i] + thread:get(name)
        end
    end
    local out = assert(io.open(os.getenv("BENCH_RESULT"), "w"))
    out:write(table.concat(sums, " "), string.format(" %.6f\n", summary.duration / 1e6))
    out:close()
end
