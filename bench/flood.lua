-- SPDX-License-Identifier: Apache-2.0
-- wrk: requests with a token each, BENCH_FLOOD_RATE a second over all connections.
-- BENCH_TOKEN is a good token. kind=unknown: each request names another unknown key and is good
-- otherwise, as far as anybody can tell without the key; kind=good: that token, every time.
local head, payload, signature = os.getenv("BENCH_TOKEN"):match("^([^.]+)%.([^.]+)%.([^.]+)$")
local unknown = os.getenv("BENCH_FLOOD") == "unknown"
local pause_ms = 1000 * os.getenv("BENCH_FLOOD_CONNECTIONS") / os.getenv("BENCH_FLOOD_RATE")
local letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
local count = 0

-- Three bytes as four letters; texts here are multiples of three long, so there is no end to care for.
local function base64url(text)
    return (text:gsub("...", function(three)
        local a, b, c = three:byte(1, 3)
        local bits, out = a * 65536 + b * 256 + c, ""
        for _, unit in ipairs({262144, 4096, 64, 1}) do
            local i = math.floor(bits / unit) % 64 + 1
            out = out .. letters:sub(i, i)
        end
        return out
    end))
end

local thousand = {}
for i = 0, 999 do
    thousand[i] = base64url(string.format("%03d", i))
end
local before, behind = base64url('{"alg": "RS256","kid": "'), base64url('" }')

local function token()
    if not unknown then
        return head .. "." .. payload .. "." .. signature
    end
    count = count + 1
    local kid = thousand[math.floor(count / 1000000) % 1000] .. thousand[math.floor(count / 1000) % 1000] ..
        thousand[count % 1000]
    return before .. kid .. behind .. "." .. payload .. "." .. signature
end

function request()
    return wrk.format("GET", nil, {["Authorization"] = "Bearer " .. token()})
end

-- Without chance all connections would keep time, and each beat were a burst.
function delay()
    return math.random(0, 2 * pause_ms)
end
