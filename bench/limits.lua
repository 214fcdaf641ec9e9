-- SPDX-License-Identifier: Apache-2.0
-- wrk: the same request over and over; counts what was answered. BENCH_RESULT gets a line: answers
-- 200, answers 429, others, and how long wrk sent, in seconds. With BENCH_TOKEN the request carries it.
local threads = {}
ok, limited, other = 0, 0, 0

if os.getenv("BENCH_TOKEN") then
    wrk.headers["Authorization"] = "Bearer " .. os.getenv("BENCH_TOKEN")
end

function setup(thread)
    table.insert(threads, thread)
end

function response(status)
    if status == 200 then
        ok = ok + 1
    elseif status == 429 then
        limited = limited + 1
    else
        other = other + 1
    end
end

function done(summary)
    local sums = {0, 0, 0}
    for _, thread in ipairs(threads) do
        for i, name in ipairs({"ok", "limited", "other"}) do
            sums[i] = sums[i] + thread:get(name)
        end
    end
    local out = assert(io.open(os.getenv("BENCH_RESULT"), "w"))
    out:write(table.concat(sums, " "), string.format(" %.6f\n", summary.duration / 1e6))
    out:close()
end
