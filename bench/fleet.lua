-- SPDX-License-Identifier: Apache-2.0
-- The background of fleet.sh: each request comes from another client, as a proxy tells it.
-- BENCH_KEYS: so many clients in turn.
local n, keys = 0, tonumber(os.getenv("BENCH_KEYS"))
local headers = { ["authorization"] = "Bearer " .. os.getenv("BENCH_TOKEN") }
function request()
    n = n % keys + 1
    headers["x-forwarded-for"] = string.format("10.%d.%d.%d", math.floor(n / 65536),
        math.floor(n / 256) % 256, n % 256)
    return wrk.format("GET", "/v1/me", headers)
end
