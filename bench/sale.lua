-- SPDX-License-Identifier: Apache-2.0
-- wrk: POST of sales. Each has three lines of products drawn from the catalogue, one of 64
-- registers, and an Idempotency-Key that is never used twice: run, thread, number.
local threads = 0

function setup(thread)
    thread:set("thread_id", threads)
    threads = threads + 1
end

function init()
    products = {}
    for id in io.lines(os.getenv("BENCH_PRODUCTS")) do
        products[#products + 1] = id
    end
    run = os.getenv("BENCH_RUN")
    sold = 0
    math.randomseed(tonumber(run) % 2147483647 + thread_id)
    wrk.headers["Authorization"] = "Bearer " .. os.getenv("BENCH_TOKEN")
    wrk.headers["Content-Type"] = "application/json"
end

local function line()
    return '{"productId":"' .. products[math.random(#products)] .. '","quantity":1}'
end

function request()
    sold = sold + 1
    wrk.headers["Idempotency-Key"] = run .. "-" .. thread_id .. "-" .. sold
    return wrk.format("POST", "/v1/transactions", nil,
        '{"registerId":"' .. math.random(64) .. '","paymentMethod":"card","items":[' ..
        line() .. "," .. line() .. "," .. line() .. "]}")
end

function done(summary, latency)
    dofile(os.getenv("BENCH_DIR") .. "/wrk_result.lua")(summary, latency)
end
