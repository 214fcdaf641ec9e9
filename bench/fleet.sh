#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Measures what sharing limits through Redis adds to a request's time (FAULTS N1: at most 1 ms), with
# Redis well, frozen and gone; README.md tells what the figures mean.
#
#   make build build/tillway-issuer && dev/install.sh run bench test && bench/fleet.sh
#   BENCH_FLEET_ROUNDS=5           how often each is measured, 3 s each time
#   BENCH_FLEET_KEYS=20000         clients that come in turn beside, so that much is told
#
# One worker, one policy by address. The figures go to standard output, the same as JSON to
# var/bench/fleet.json. They are told, not judged: all of it shares the machine.
set -euo pipefail

bench=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source-path=SCRIPTDIR source=setting.sh
. "$bench/setting.sh"

rounds=${BENCH_FLEET_ROUNDS:-5}
promised_us=1000
pid="" redis_pid="" wrk_pid=""
export BENCH_KEYS=${BENCH_FLEET_KEYS:-20000} BENCH_TOKEN

# shellcheck disable=SC2317  # called at the end
pids_to_end() { printf '%s\n' "$wrk_pid" "$pid" "$redis_pid"; }

start_redis() { # its program, by the name that makes it the server
    (exec -a redis-server redis-check-rdb --port "$redis_port" --bind 127.0.0.1 --save '' \
        --dir "$work") >"$work/redis.log" 2>&1 </dev/null &
    redis_pid=$!
}

stop_redis() {
    kill -CONT "$redis_pid"
    kill "$redis_pid"
    wait "$redis_pid" || true
    redis_pid=
}

# $1: alone, or anything else to share.
write_config() {
    {
        basic_config "$http_port" "$admin_port" 1 4
        echo 'http: {trusted_proxies: [127.0.0.1]}'
        echo 'limits: [{name: shared, key: address, rate: 1000000/s, burst: 1000000}]'
    } >"$work/config.yaml"
    [ "$1" = alone ] || echo "fleet: {redis: 'redis://127.0.0.1:$redis_port'}" >>"$work/config.yaml"
}

metric() {
    curl -sS --noproxy '*' "http://127.0.0.1:$admin_port/metrics" | awk -v name="$1" '$1 == name { print $2 }'
}

wait_metric() {
    local until=$((SECONDS + 10))
    until [ "$(metric "$1")" = "$2" ]; do
        [ "$SECONDS" -lt "$until" ] || fail "$1 does not become $2"
        sleep 0.05
    done
}

# p50, p99 and the longest in us of 400 requests a second for 3 s, beside wrk's as fast as it gets.
measure() {
    wrk -t 1 -c 1 -d 5 -s "$bench/fleet.lua" "http://127.0.0.1:$http_port" >"$work/wrk.log" 2>&1 &
    wrk_pid=$!
    sleep 0.5
    h2load --h1 -c 4 -m 1 --rps 100 -D 3 --log-file="$work/latencies" \
        -H "authorization: Bearer $BENCH_TOKEN" "http://127.0.0.1:$http_port/v1/me" >"$work/h2load.log"
    wait "$wrk_pid" || fail "wrk has gone: $(tail -n 1 "$work/wrk.log")"
    wrk_pid=
    ! grep -q 'Non-2xx' "$work/wrk.log" || fail "a request of the background was refused"
    awk '$2 != 200 { exit 1 }' "$work/latencies" || fail "a client was refused"
    awk '{ print $3 }' "$work/latencies" | sort -n |
        awk '{ us[NR] = $1 } END { print us[int((NR - 1) * 0.5) + 1], us[int((NR - 1) * 0.99) + 1], us[NR] }'
    rm -f -- "$work/latencies"
}

# $1: how Redis is.
measure_with() {
    [ "$1" = alone ] || start_redis
    write_config "$1"
    start_gateway "$work/config.yaml" "$work/gateway.log" "$admin_port"
    [ "$1" = alone ] || wait_metric tillway_fleet_connections 1
    [ "$1" != gone ] || { stop_redis && wait_metric tillway_fleet_connections 0; }
    [ "$1" != frozen ] || kill -STOP "$redis_pid"
    measure >>"$work/us.$1"
    [ "$1" != well ] || metric 'tillway_fleet_keys_total{result="told"}' >>"$work/told"
    kill "$pid"
    wait "$pid" || fail "the gateway ended badly"
    pid=
    [ -z "$redis_pid" ] || stop_redis
}

# The median of column $2 of figures $1.
median() {
    awk -v c="$2" '{ print $c }' "$work/us.$1" | sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'
}

[[ $rounds =~ ^[1-9][0-9]?$ ]] || fail "'$rounds' is not a number from 1 to 99 (BENCH_FLEET_ROUNDS)"
begin fleet
BENCH_TOKEN=$token
http_port=$(port_free)
admin_port=$(other_port "$http_port")
redis_port=$(other_port "$http_port" "$admin_port")
write_config alone
migrate "$work/config.yaml"
for ((i = 0; i < rounds; i++)); do # in turns, so that a slow minute meets all
    for how in alone well frozen gone; do
        measure_with "$how"
    done
done
base=$(median alone 2)
json=$(printf '{"alone_p99_us":%d' "$base")
printf 'limits of a fleet, %d keys beside, %d told in 5 s\n' "$BENCH_KEYS" "$(sort -n "$work/told" | tail -n 1)"
printf '  %-14s p50 %5d us, p99 %5d us, longest %6d us\n' "node alone" "$(median alone 1)" "$base" "$(median alone 3)"
for how in well frozen gone; do
    p99=$(median "$how" 2)
    printf '  %-14s p50 %5d us, p99 %5d us, longest %6d us; %+d us (promise: at most +%d)\n' "Redis $how" \
        "$(median "$how" 1)" "$p99" "$(median "$how" 3)" $((p99 - base)) "$promised_us"
    json+=$(printf ',"%s_p99_us":%d' "$how" "$p99")
done
printf '%s}\n' "$json" >"$var/fleet.json"
