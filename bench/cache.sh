#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A product from memory against the least that a server can do: the same library with a handler of a
# few lines that answers as many bytes (tests/h2o/hello.c). One worker, token check, access log and
# metrics on. README.md tells more.
#
#   make build build/tillway-issuer && dev/install.sh build run bench test && bench/cache.sh
#   BENCH_CACHE_ROUNDS=5 BENCH_CACHE_SECONDS=3 BENCH_CACHE_CONNECTIONS=64
#
# Instructions per request by callgrind, then requests a second of interleaved rounds, whose medians
# are compared. The status is 1 when a promise is broken.
set -euo pipefail

bench=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source-path=SCRIPTDIR source=setting.sh
. "$bench/setting.sh"

rounds=${BENCH_CACHE_ROUNDS:-5} seconds=${BENCH_CACHE_SECONDS:-3}
connections=${BENCH_CACHE_CONNECTIONS:-64}
few=500 many=3500
promised=0.6
bench_cache=16MiB # for basic_config
hello=$root/build/bench-hello
pid="" hello_pid=""
status=0

# shellcheck disable=SC2086,SC2317  # called at the end; words that may not be there
pids_to_end() { echo $pid $hello_pid; }

build_hello() {
    local cflags libs
    read -ra cflags <<<"$(sed -n 's/^H2O_CFLAGS := //p' "$root/build/h2o/flags.mk")"
    read -ra libs <<<"$(sed -n 's/^H2O_LIBS := //p' "$root/build/h2o/flags.mk")"
    (cd -- "$root" && "${CC:-cc}" -std=gnu11 -O2 -g -fPIE -pie "${cflags[@]}" tests/h2o/hello.c \
        "${libs[@]}" -o "$hello")
}

metric() {
    curl -fsS --noproxy '*' --max-time 5 "http://127.0.0.1:$admin_port/metrics" |
        awk -v name="$1" '$1 == name { print $2 }'
}

# Words before the gateway: what it runs under. Returns when it hears of changes.
# shellcheck disable=SC2120,SC2317  # called by name
start_one() {
    local until=$((SECONDS + 60))
    start_gateway "$work/config.yaml" "$work/gateway.log" "$admin_port" "$@"
    until [ "$(metric tillway_cache_listening)" = 1 ]; do
        [ "$SECONDS" -lt "$until" ] || fail "the gateway does not hear of changes"
        sleep 0.05
    done
    address=http://127.0.0.1:$http_port/v1/products/$product
}

# The same for the bare server, whose answers are as long.
# shellcheck disable=SC2120,SC2317  # called by name
start_hello() {
    local until=$((SECONDS + 60)) port=
    HELLO_IDLE_MS=60000 "$@" "$hello" "$body_bytes" >"$work/port" 2>"$work/hello.log" &
    hello_pid=$!
    until port=$(sed -n 's/^port //p' "$work/port") && [ -n "$port" ]; do
        [ "$SECONDS" -lt "$until" ] || fail "the bare server does not start"
        sleep 0.05
    done
    address=http://127.0.0.1:$port/
}

stop() {
    if [ -n "$pid" ]; then
        kill "$pid"
        wait "$pid" || fail "the gateway ended badly"
    fi
    if [ -n "$hello_pid" ]; then
        kill "$hello_pid"
        wait "$hello_pid" || true
    fi
    pid="" hello_pid=""
}

# requests NUMBER PROTOCOL, one after the other.
requests() {
    local options=()
    [ "$2" = h2c ] || options=(--h1)
    h2load "${options[@]}" -c 1 -m 1 -n "$1" -H "authorization: Bearer $token" "$address" \
        >"$work/h2load.log"
    grep -q "^status codes: $1 2xx, 0 3xx, 0 4xx, 0 5xx" "$work/h2load.log" ||
        fail "not every answer was 200: $(grep '^status codes' "$work/h2load.log")"
}

# instructions one|hello PROTOCOL: of a request, by the difference of two counts, into $counted.
instructions() {
    local n server counts=()
    for n in "$few" "$many"; do
        "start_$1" valgrind --tool=callgrind --callgrind-out-file="$work/callgrind.%p" -q
        server=$hello_pid
        [ "$1" = hello ] || server=$(<"/proc/$pid/task/$pid/children")
        server=${server% }
        requests "$n" "$2"
        stop
        counts+=("$(sed -n 's/^\(summary\|totals\): *//p' "$work/callgrind.$server" | head -n 1)")
        rm -f -- "$work"/callgrind.*
    done
    counted=$(((counts[1] - counts[0]) / (many - few)))
}

measure_instructions() {
    local protocol ours bare
    for protocol in http1 h2c; do
        instructions one $protocol
        ours=$counted
        instructions hello $protocol
        bare=$counted
        awk -v p=$protocol -v a="$ours" -v b="$bare" 'BEGIN {
            printf "instructions per request, %s: product from memory %d, bare %d: %.2fx\n", p, a, b, a / b }'
    done
}

# Requests a second of 64 connections (HTTP/1.1), or of 8 with 16 streams each (h2c).
# shellcheck disable=SC2317  # called by name
rate_http1() {
    BENCH_DIR=$bench BENCH_TOKEN=$token BENCH_RESULT=$work/result wrk -t 1 -c "$connections" \
        -d "${seconds}s" -s "$bench/product.lua" "$address" >"$work/wrk.log"
    awk '$3 + $4 != 0 { exit 1 } { print $1 / $2 }' "$work/result" || fail "wrk had errors"
}

# shellcheck disable=SC2317  # called by name
rate_h2c() {
    h2load -t 1 -c 8 -m 16 -D "$seconds" -H "authorization: Bearer $token" "$address" >"$work/h2load.log"
    awk '/^finished in/ { print $4 }' "$work/h2load.log"
}

median() { sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }

measure_rates() {
    local protocol server round
    for protocol in http1 h2c; do
        for ((round = 0; round < rounds; round++)); do
            for server in one hello; do
                "start_$server"
                "rate_$protocol" >>"$work/$protocol.$server"
                stop
            done
        done
        awk -v p=$protocol -v a="$(median <"$work/$protocol.one")" \
            -v b="$(median <"$work/$protocol.hello")" -v promised=$promised 'BEGIN {
                printf "requests a second, %s: product from memory %d, bare %d: %.2fx", p, a, b, a / b
                bad = p == "http1" && a / b < promised
                print p != "http1" ? "" : bad ? " (BELOW the promise of " promised "x)" : \
                    " (promise: " promised "x)"
                exit bad }' || status=1
    done
}

for number in "$rounds" "$seconds" "$connections"; do
    [[ $number =~ ^[1-9][0-9]{0,3}$ ]] || fail "'$number' is not a number from 1 to 9999 (BENCH_CACHE_*)"
done
begin cache
build_hello
http_port=$(port_free)
admin_port=$(other_port "$http_port")
basic_config "$http_port" "$admin_port" 1 4 >"$work/config.yaml"
migrate "$work/config.yaml"
load_sample
product=$("$here/product-id.sh" BEV-0001)
start_one
body_bytes=$(curl -fsS --noproxy '*' -H "Authorization: Bearer $token" "$address" | wc -c)
stop
measure_instructions
measure_rates
exit "$status"
