#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Measures what it costs to know who calls; README.md tells what the figures mean.
#
#   make build build/tillway-issuer && dev/install.sh run bench && bench/identity.sh
#   BENCH_IDENTITY="instructions verifier flood"    which parts
#   BENCH_FLOOD_ROUNDS=3                            how often the flood is measured
#
# The figures go to standard output, the same as JSON to var/bench/identity.json. The status is not 0
# when a count of instructions breaks its promise: only these do not depend on who else is busy.
set -euo pipefail

bench=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source-path=SCRIPTDIR source=setting.sh
. "$bench/setting.sh"

parts=${BENCH_IDENTITY:-instructions verifier flood}
rounds=${BENCH_FLOOD_ROUNDS:-3}
few=200    # requests; the difference of both counts is free of the start's cost
many=1200
flood_rate=10000
flood_connections=50
promised_ratio=1.15
promised_rs256_us=30
promised_p99_ratio=1.5
issuer_binary=$root/build/tillway-issuer
pid="" flood_pid=""
status=0

# shellcheck disable=SC2317  # called at the end
pids_to_end() { printf '%s\n' "$flood_pid" "$pid"; }

# ---- gateways ------------------------------------------------------------------------------------

# $1: workers, then lines of `auth`.
configure() {
    local workers=$1
    shift
    {
        basic_config "$http_port" "$admin_port" "$workers"
        printf '  %s\n' "$@"
    } >"$work/config.yaml"
}

# Words before the gateway: what it runs under.
start_one() {
    start_gateway "$work/config.yaml" "$work/gateway.log" "$admin_port" "$@"
}

stop_one() {
    kill "$pid"
    wait "$pid" || fail "the gateway ended badly"
    pid=
    ! grep -q '"db_connection_lost"' "$work/gateway.log" || fail "the gateway lost its database"
}

# $1 requests one after the other; further words are h2load's.
requests() {
    local n=$1
    shift
    h2load "$@" -c 1 -m 1 -n "$n" -H "authorization: Bearer $token" \
        "http://127.0.0.1:$http_port/v1/me" >"$work/h2load.log"
    grep -q "^status codes: $n 2xx, 0 3xx, 0 4xx, 0 5xx" "$work/h2load.log" ||
        fail "not every answer was 200: $(grep '^status codes' "$work/h2load.log")"
}

# ---- instructions --------------------------------------------------------------------------------

# Instructions of the worker's life with $2 requests over protocol $1, into $work/$3.$2.
profile() {
    local protocol=$1 n=$2 name=$3 worker options=()
    [ "$protocol" = h2c ] || options=(--h1)
    start_one valgrind --tool=callgrind --callgrind-out-file="$work/callgrind.%p" -q
    worker=$(<"/proc/$pid/task/$pid/children")
    requests "$n" "${options[@]}"
    stop_one
    mv -- "$work/callgrind.${worker% }" "$work/$name.$n"
    rm -f -- "$work"/callgrind.*
}

# The functions worth a line, with the instructions of all that they call.
functions=(phr_parse_request decode_string tw_req_adopt tw_stage_authenticate tw_verifier_recall
    tw_siphash tw_stage_authorize tw_me_get tw_log_access)

# Lines "name instructions" of the profile $1: the whole, then the functions.
costs() {
    awk '$1 == "totals:" { print "total", $2 }' "$1"
    callgrind_annotate --inclusive=yes --threshold=100 --auto=no "$1" |
        awk -v names="${functions[*]}" '
            BEGIN { n = split(names, order, " ") }
            match($0, /:[a-z0-9_]+ \[/) {
                name = substr($0, RSTART + 1, RLENGTH - 3)
                cost = $1
                gsub(",", "", cost)
                if (cost + 0 > most[name] + 0)
                    most[name] = cost
            }
            END { for (i = 1; i <= n; i++) print order[i], most[order[i]] + 0 }'
}

# Lines "protocol mode name instructions-per-request".
per_request() {
    join <(costs "$work/$1-$2.$few" | sort) <(costs "$work/$1-$2.$many" | sort) |
        awk -v protocol="$1" -v mode="$2" -v n=$((many - few)) \
            '{ printf "%s %s %s %.0f\n", protocol, mode, $1, ($3 - $2) / n }'
}

measure_instructions() {
    local protocol mode n
    : >"$work/instructions"
    for protocol in http1 h2c; do
        for mode in public cached; do
            [ $mode = cached ] || configure 1 'routes: [{route: GET /v1/me, roles: [public]}]'
            [ $mode = public ] || configure 1 'routes: []'
            for n in $few $many; do
                profile $protocol "$n" $protocol-$mode
            done
            per_request $protocol $mode >>"$work/instructions"
        done
    done
}

instructions() {
    awk -v key="$1 $2 $3" '$1 " " $2 " " $3 == key { print $4 }' "$work/instructions"
}

report_instructions() {
    local protocol label public cached ratio
    for protocol in http1 h2c; do
        label="HTTP/1.1"
        [ $protocol = http1 ] || label="HTTP/2 (h2c)"
        public=$(instructions $protocol public total)
        cached=$(instructions $protocol cached total)
        ratio=$(awk -v a="$cached" -v b="$public" 'BEGIN { printf "%.3f", a / b }')
        printf 'GET /v1/me, %s: %d instructions without auth, %d with a cached token: %sx' \
            "$label" "$public" "$cached" "$ratio"
        judge "$ratio" "$promised_ratio" x
        printf '"%s":{"public":%d,"cached":%d,"ratio":%s},' \
            "$protocol" "$public" "$cached" "$ratio" >>"$work/json"
        ! above "$ratio" "$promised_ratio" || status=1
    done
    printf '\n%-24s %10s %10s %10s %10s\n' 'instructions, inclusive' 'h1 public' 'h1 cached' \
        'h2 public' 'h2 cached'
    local name
    for name in "${functions[@]}"; do
        printf '%-24s %10d %10d %10d %10d\n' "$name" "$(instructions http1 public "$name")" \
            "$(instructions http1 cached "$name")" "$(instructions h2c public "$name")" \
            "$(instructions h2c cached "$name")"
    done
    echo
}

above() {
    awk -v a="$1" -v b="$2" 'BEGIN { exit !(a > b) }'
}

judge() {
    if above "$1" "$2"; then
        echo " (ABOVE the promise of $2$3)"
    else
        echo " (promise: under $2$3)"
    fi
}

# ---- the verifier --------------------------------------------------------------------------------

measure_verifier() {
    local dir=$work/issuer algorithm name checked recalled
    make -s -C "$root" -f build.mk build/bench-verifier >&2
    "$issuer_binary" init "$dir"
    "$issuer_binary" init "$dir" --alg ES256
    "$issuer_binary" jwks --dir "$dir" >"$work/jwks.json"
    for algorithm in RS256 ES256; do
        printf '%s\t%s\n' "$algorithm" \
            "$("$issuer_binary" token --dir "$dir" --issuer http://bench --alg "$algorithm")"
    done >"$work/tokens"
    "$root/build/bench-verifier" http://bench "$work/jwks.json" <"$work/tokens" >"$work/verifier"
    while read -r name checked recalled; do
        printf 'token of %s, %d bytes: recalled in %s us, checked in %s us of CPU' "$name" \
            "$(awk -v name="$name" '$1 == name { print length($2) }' "$work/tokens")" "$recalled" \
            "$checked"
        if [ "$name" = RS256 ]; then judge "$checked" $promised_rs256_us " us"; else echo; fi
        printf '"%s":{"checked_us":%s,"recalled_us":%s},' "$name" "$checked" "$recalled" >>"$work/json"
    done <"$work/verifier"
    echo
}

# ---- a flood -------------------------------------------------------------------------------------

# p99 in us of 400 good requests a second for 3 s, beside a flood of kind $1 (none, good, unknown).
p99_beside() {
    [ "$1" = none ] || {
        BENCH_TOKEN=$token BENCH_FLOOD=$1 BENCH_FLOOD_RATE=$flood_rate \
            BENCH_FLOOD_CONNECTIONS=$flood_connections wrk -t 1 -c $flood_connections -d 60s \
            -s "$bench/flood.lua" "http://127.0.0.1:$http_port/v1/me" >"$work/wrk.log" 2>&1 &
        flood_pid=$!
        sleep 0.5
    }
    h2load --h1 -c 4 -m 1 --rps 100 -D 3 --log-file="$work/latencies" \
        -H "authorization: Bearer $good" "http://127.0.0.1:$http_port/v1/me" >"$work/h2load.log"
    [ -z "$flood_pid" ] || {
        kill "$flood_pid"
        wait "$flood_pid" || true
        flood_pid=
    }
    awk '$2 != 200 { exit 1 }' "$work/latencies" || fail "a good token was refused in the flood"
    awk '{ print $3 }' "$work/latencies" | sort -n |
        awk '{ us[NR] = $1 } END { print us[int((NR - 1) * 0.99) + 1] }'
    rm -f -- "$work/latencies"
}

metric() {
    curl -fsS --noproxy '*' --max-time 5 "http://127.0.0.1:$admin_port/metrics" |
        awk -v name="$1" '$1 == name { print $2 }'
}

# Of several rounds the best one counts: neighbours on the same cores only add.
best() {
    sort -n | head -n 1
}

# $1: the limit on failures, $2: what to call it. Kinds alternate, so that a slow minute meets all.
measure_flood() {
    local i kind fetches limited refused began p99_none p99_good p99_unknown ratio
    configure 2 'routes: []' "failures: {rate: $1}"
    rm -f -- "$work"/p99.*
    start_one env
    good=$("$issuer_binary" token --dir "$var/issuer" --username good)
    fetches=$(metric 'tillway_jwks_fetches_total{issuer="0",result="ok"}') began=$SECONDS
    for ((i = 0; i < rounds; i++)); do
        for kind in none good unknown; do
            p99_beside $kind >>"$work/p99.$kind"
        done
    done
    refused=$(metric 'tillway_token_checks_total{result="refused"}')
    limited=$(metric 'tillway_token_checks_total{result="limited"}')
    fetches=$(($(metric 'tillway_jwks_fetches_total{issuer="0",result="ok"}') - fetches))
    stop_one
    p99_none=$(best <"$work/p99.none") p99_good=$(best <"$work/p99.good")
    p99_unknown=$(best <"$work/p99.unknown")
    ratio=$(awk -v a="$p99_unknown" -v b="$p99_none" 'BEGIN { printf "%.2f", a / b }')
    printf 'p99 of good tokens, %s: %d us alone, %d us beside %d good requests/s,\n' "$2" \
        "$p99_none" "$p99_good" $flood_rate
    printf '  %d us beside %d unknown kids/s: %sx' "$p99_unknown" $flood_rate "$ratio"
    judge "$ratio" $promised_p99_ratio x
    awk -v a="$p99_unknown" -v b="$p99_good" \
        'BEGIN { printf "  %.2fx of that beside good requests; ", a / b }'
    printf '%d unknown kids judged, %d not looked at, %d fetches of keys in %d s\n' "$refused" \
        "$limited" "$fetches" $((SECONDS - began))
    printf '"flood_%s":{"alone_us":%d,"good_us":%d,"unknown_us":%d,"ratio":%s},' "$1" "$p99_none" \
        "$p99_good" "$p99_unknown" "$ratio" >>"$work/json"
}

# ---- the run -------------------------------------------------------------------------------------

for part in $parts; do
    [[ " instructions verifier flood " == *" $part "* ]] || fail "BENCH_IDENTITY: no part '$part'"
done
[[ $rounds =~ ^[1-9][0-9]?$ ]] || fail "'$rounds' is not a number from 1 to 99 (BENCH_FLOOD_ROUNDS)"
begin identity
http_port=$(port_free)
admin_port=$(other_port "$http_port")
configure 1 'routes: []'
migrate "$work/config.yaml"
: >"$work/json"

[[ " $parts " != *" instructions "* ]] || {
    measure_instructions
    report_instructions
}
[[ " $parts " != *" verifier "* ]] || measure_verifier
[[ " $parts " != *" flood "* ]] || {
    measure_flood 100 'failures limited (the default)'
    measure_flood 0 'failures without limit'
}
{
    printf '{'
    sed 's/,$//' "$work/json"
    printf '}\n'
} >"$var/identity.json"
exit "$status"
