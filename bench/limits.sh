#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Measures what limits promise: that they are exact, cheap, and no dearer with many keys; README.md
# tells what the figures mean.
#
#   make build build/tillway-issuer && dev/install.sh run bench && bench/limits.sh
#   bench/limits.sh exact instructions               some parts: exact instructions throughput
#   BENCH_LIMITS_SECONDS=10                           how long the burst is; and each run of throughput
#   BENCH_LIMITS_ROUNDS=7                             pairs of runs of throughput
#   BENCH_LIMITS_KEEP=FILE                            keep callgrind's profiles as FILE.*
#   TILLWAY_BIN=FILE                                  another gateway
#
# The status is not 0 when what was admitted is off by more than 1 %, or a count of instructions
# breaks its promise. Throughput depends on who else is busy and is only shown.
set -euo pipefail

bench=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
bench_var="bench-limits"
# shellcheck source-path=SCRIPTDIR source=setting.sh
. "$bench/setting.sh"

parts=${*:-exact instructions throughput}
seconds=${BENCH_LIMITS_SECONDS:-10}
rounds=${BENCH_LIMITS_ROUNDS:-7}
connections=200
rate=1000 # of the exact part; a client offers ten times as much, and more
burst=2000
few=200 # requests; the difference of both counts is free of the start's cost
many=1200
promised_percent=1
promised_ratio=0.97
pids=() # of the gateways that run
workers=1
policies=
status=0

three='  - {name: per-address, key: address, rate: 1000000/s, burst: 1000000}
  - {name: per-client, key: principal, rate: 1000000/s, burst: 1000000}
  - {name: per-route, key: principal+route, rate: 1000000/s, burst: 1000000}'

# shellcheck disable=SC2317  # called at the end
pids_to_end() { echo "${pids[@]}"; }

# ---- gateways ------------------------------------------------------------------------------------

# A gateway with $workers and $policies, as number $1: its ports, its file.
configure() {
    local i=$1
    http_ports[i]=$(port_free)
    admin_ports[i]=$(other_port "${http_ports[i]}")
    {
        basic_config "${http_ports[i]}" "${admin_ports[i]}" "$workers"
        printf '%s\n' 'http: {trusted_proxies: [127.0.0.1]}' "${policies:+limits:}" "$policies"
    } >"$work/config.$i.yaml"
}

# Starts gateway $1; further words are what it runs under.
start_one() {
    local i=$1 pid
    shift
    start_gateway "$work/config.$i.yaml" "$work/gateway.$i.log" "${admin_ports[i]}" "$@"
    pids[i]=$pid
}

stop_one() {
    kill "${pids[$1]}"
    wait "${pids[$1]}" || fail "the gateway ended badly"
    unset "pids[$1]"
}

worker_of() {
    local worker
    worker=$(<"/proc/${pids[$1]}/task/${pids[$1]}/children")
    echo "${worker% }"
}

# Sum of gateway $1's counters of requests with status $2.
answered() {
    curl -fsS --noproxy '*' --max-time 5 "http://127.0.0.1:${admin_ports[$1]}/metrics" |
        awk -v status="status=\"$2\"" '
            /^tillway_http_requests_total/ && index($1, status) { n += $2 } END { print n + 0 }'
}

# ---- exact ---------------------------------------------------------------------------------------

# Both print the seconds between the first request and the last answer, as near as they know.
burst_http1() {
    BENCH_RESULT=$work/result BENCH_TOKEN=$token wrk -t 1 -c "$connections" -d "${seconds}s" \
        -s "$bench/limits.lua" "http://127.0.0.1:${http_ports[0]}/v1/me" >"$work/client.log" 2>&1
    awk '{ printf "%s", $4 }' "$work/result" # without wrk's start and end
}

burst_h2c() {
    h2load -c "$connections" -m 4 -t 1 -D "$seconds" --log-file="$work/latencies" \
        -H "authorization: Bearer $token" "http://127.0.0.1:${http_ports[0]}/v1/me" \
        >"$work/client.log" 2>&1
    awk 'NR == 1 || $1 < first { first = $1 } $1 + $3 > last { last = $1 + $3 }
        END { printf "%.6f", (last - first) / 1e6 }' "$work/latencies"
}

# The gateway counts what it admitted: a client does not hear all at its end.
measure_exact() {
    local protocol label admitted refused lasted
    printf '%d workers, %d connections, %d s, limit %d/s, burst %d\n' $workers $connections \
        "$seconds" $rate $burst
    for protocol in http1 h2c; do
        label="HTTP/1.1"
        [ $protocol = http1 ] || label="HTTP/2"
        configure 0
        start_one 0
        if [ "$protocol" = http1 ]; then lasted=$(burst_http1); else lasted=$(burst_h2c); fi
        sleep 0.5
        admitted=$(($(answered 0 2xx) + $(answered 0 abandoned)))
        refused=$(answered 0 4xx)
        stop_one 0
        awk -v label="$label" -v admitted="$admitted" -v refused="$refused" -v lasted="$lasted" \
            -v rate=$rate -v burst=$burst -v most=$promised_percent '
            BEGIN {
                expected = burst + rate * lasted
                off = 100 * (admitted / expected - 1)
                offered = (admitted + refused) / expected
                printf "%-8s  admitted %d, expected %.0f in %.2f s: %+.2f %%; offered %.1f times as much", \
                    label, admitted, expected, lasted, off, offered
                bad = off > most || off < -most
                print bad ? " (ABOVE the promise of " most " %)" : " (promise: within " most " %)"
                exit bad
            }' || status=1
    done
    echo
}

# ---- instructions --------------------------------------------------------------------------------

# $1 requests of kind $2 (me, product: by h2load; one-address, many-addresses: by bash), over $3.
requests() {
    local n=$1 options=() path=/v1/me
    case $2 in
    one-address | many-addresses)
        addressed "$n" "$2"
        return
        ;;
    product) path=/v1/products/$product ;;
    esac
    [ "$3" = h2c ] || options=(--h1)
    h2load "${options[@]}" -c 1 -m 1 -n "$n" -H "authorization: Bearer $token" \
        "http://127.0.0.1:${http_ports[0]}$path" >"$work/h2load.log"
    grep -q "^status codes: $n 2xx, 0 3xx, 0 4xx, 0 5xx" "$work/h2load.log" ||
        fail "not every answer was 200: $(grep '^status codes' "$work/h2load.log")"
}

# $1 requests of a trusted proxy, for one client or for as many as there are requests.
addressed() {
    local n=$1 got
    awk -v n="$n" -v kind="$2" -v token="$token" 'BEGIN {
        for (i = 1; i <= n; i++) {
            j = kind == "one-address" ? 1 : i
            printf "GET /v1/me HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 100.%d.%d.%d\r\n", \
                64 + int(j / 10000) % 64, 100 + int(j / 100) % 100, 100 + j % 100
            printf "Authorization: Bearer %s\r\n%s\r\n", token, i == n ? "Connection: close\r\n" : ""
        }
    }' >"$work/requests"
    exec 3<>"/dev/tcp/127.0.0.1/${http_ports[0]}"
    cat -- "$work/requests" >&3 &
    got=$(grep -ao 'HTTP/1.1 200 OK' <&3 | wc -l) # they follow bodies that end no line
    wait $!
    exec 3>&-
    [ "$got" = "$n" ] || fail "$got of $n answers were 200"
}

# Instructions of the worker's life with $1 requests of kind $2 over $3, into $work/profile.$1.
profile() {
    local worker
    start_one 0 valgrind --tool=callgrind --callgrind-out-file="$work/callgrind.%p" -q
    worker=$(worker_of 0)
    requests "$@"
    stop_one 0
    mv -- "$work/callgrind.$worker" "$work/profile.$1"
    rm -f -- "$work"/callgrind.*
}

total() {
    awk '$1 == "totals:" { print $2 }' "$work/profile.$1"
}

# Instructions of one request of kind $1 over $2, into $work/NAME.
per_request() {
    local n
    for n in $few $many; do
        profile "$n" "$1" "$2"
    done
    echo $((($(total $many) - $(total $few)) / (many - few)))
    [ -z "${BENCH_LIMITS_KEEP:-}" ] || cp -- "$work/profile.$many" "$BENCH_LIMITS_KEEP.$1.$2${policies:+.with}"
}

measure_instructions() {
    local kind protocol with without
    workers=1
    echo 'instructions of a request    without    with three policies'
    for kind in me product; do
        for protocol in http1 h2c; do
            policies=
            configure 0
            without=$(per_request "$kind" "$protocol")
            policies=$three
            configure 0
            with=$(per_request "$kind" "$protocol")
            printf '%-10s %-14s %10d %10d  %+d, %.3fx\n' "$kind" "$protocol" "$without" "$with" \
                $((with - without)) "$(awk -v a="$with" -v b="$without" 'BEGIN { print a / b }')"
        done
    done
    policies=${three%%$'\n'*}
    configure 0
    without=$(per_request one-address http1)
    with=$(per_request many-addresses http1)
    printf 'one address asks, or as many as requests: %d, %d, %.3fx' "$without" "$with" \
        "$(awk -v a="$with" -v b="$without" 'BEGIN { print a / b }')"
    if [ "$with" -gt $((without * 101 / 100)) ]; then
        echo ' (ABOVE the promise of 1.01x)'
        status=1
    else
        echo ' (promise: under 1.01x)'
    fi
    echo
}

# ---- throughput ----------------------------------------------------------------------------------

cpu_ticks() {
    local stat rest
    stat=$(<"/proc/$(worker_of "$1")/stat")
    read -ra rest <<<"${stat##*) }"
    echo $((rest[11] + rest[12]))
}

# One run against gateway $1: a line "kind requests/s CPU-us-per-request" into $work/runs.
run_one() {
    local i=$1 before after
    before=$(cpu_ticks "$i")
    BENCH_DIR=$bench BENCH_RESULT=$work/result BENCH_TOKEN=$token wrk -t 1 -c 64 -d 3s \
        -s "$bench/product.lua" "http://127.0.0.1:${http_ports[i]}/v1/products/$product" \
        >"$work/client.log" 2>&1
    after=$(cpu_ticks "$i")
    awk -v i="$i" -v ticks=$((after - before)) -v hz="$(getconf CLK_TCK)" '
        { if ($3 + $4 > 0) exit 1; printf "%d %.1f %.3f\n", i, $1 / $2, 1e6 * ticks / hz / $1 }' \
        "$work/result" >>"$work/runs" || fail "answers other than 200"
}

# Rounds, each beginning with another gateway. The third one is the first one again: what differs
# between these two is the machine's doing.
measure_throughput() {
    local round i
    workers=1 policies=
    configure 0
    configure 2
    policies=$three
    configure 1
    : >"$work/runs"
    for i in 0 1 2; do
        start_one $i
        run_one $i
    done
    : >"$work/runs"
    for ((round = 0; round < rounds; round++)); do
        for i in 0 1 2; do
            run_one $(((round + i) % 3))
        done
    done
    for i in 2 1 0; do
        stop_one $i
    done
    report_throughput
}

report_throughput() {
    awk -v promised=$promised_ratio '
        function median(a, n, i, j, t) {
            for (i = 2; i <= n; i++)
                for (j = i; j > 1 && a[j] < a[j - 1]; j--) { t = a[j]; a[j] = a[j - 1]; a[j - 1] = t }
            return n % 2 ? a[(n + 1) / 2] : (a[n / 2] + a[n / 2 + 1]) / 2
        }
        { n[$1]++; rate[$1, n[$1]] = $2; cpu[$1, n[$1]] = $3 }
        END {
            for (k = 0; k < 3; k++) {
                for (i = 1; i <= n[k]; i++) { r[i] = rate[k, i] / rate[0, i]; c[i] = cpu[k, i] }
                rates[k] = median(r, n[k]); cpus[k] = median(c, n[k])
                least[k] = c[1] # sorted by now
            }
            printf "product read, HTTP/1.1, with three policies: %.3fx the throughput without them", rates[1]
            printf " (promise: %.2fx), median of %d rounds;\n", promised, n[0]
            printf "  without them once more: %.3fx: unless that is 1.00, the machine is too busy to tell\n", rates[2]
            printf "CPU of the worker, median and least: %.2f and %.2f us without, %.2f and %.2f us with,", \
                cpus[0], least[0], cpus[1], least[1]
            printf " %.2f and %.2f us without once more\n", cpus[2], least[2]
        }' "$work/runs"
    echo
}

# ---- the run -------------------------------------------------------------------------------------

for part in $parts; do
    [[ " exact instructions throughput " == *" $part "* ]] || fail "no part '$part'"
done
for number in "$seconds" "$rounds"; do
    [[ $number =~ ^[1-9][0-9]?$ ]] || fail "'$number' is not a number from 1 to 99"
done
make_directories
exec {alone_fd}>"$var/run/alone"
flock -n "$alone_fd" || fail "another bench/limits.sh runs in $var"
begin limits
http_ports=() admin_ports=()
configure 0
migrate "$work/config.0.yaml"
load_sample
product=$("$here/product-id.sh" BEV-0001)

[[ " $parts " != *" exact "* ]] || {
    workers=4 policies="  - {name: exact, key: principal, rate: $rate/s, burst: $burst}"
    measure_exact
}
[[ " $parts " != *" instructions "* ]] || measure_instructions
[[ " $parts " != *" throughput "* ]] || measure_throughput
exit "$status"
