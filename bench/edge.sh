#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The price of the hard edge: the same server of a few lines (tests/h2o/hello.c) on the bare library
# and on ours with all patches: strict framing, budgets, deadlines. README.md tells more.
#
#   dev/install.sh build bench test && bench/edge.sh
#   BENCH_EDGE_ROUNDS=5 BENCH_EDGE_SECONDS=3
#
# Instructions per request by callgrind (status 1 when they are more than 1 / 0.93 of the bare
# library's), then requests a second of interleaved rounds, whose medians are compared.
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."

rounds=${BENCH_EDGE_ROUNDS:-5} seconds=${BENCH_EDGE_SECONDS:-3}
promised=0.93
dir=build/bench-edge
few=500 many=5500
status=0
pid=""
trap '[ -z "$pid" ] || kill "$pid" 2>/dev/null || true' EXIT

mkdir -p "$dir"
export H2O_DISTFILES=${H2O_DISTFILES:-$PWD/build/distfiles}
for variant in none all; do
    H2O_SANITIZE='' H2O_PATCHES=$variant deps/h2o/build.sh "$PWD/$dir/$variant"
    read -ra cflags <<<"$(sed -n 's/^H2O_CFLAGS := //p' "$dir/$variant/flags.mk")"
    read -ra libs <<<"$(sed -n 's/^H2O_LIBS := //p' "$dir/$variant/flags.mk")"
    "${CC:-cc}" -std=gnu11 -O2 -g -fPIE -pie "${cflags[@]}" tests/h2o/hello.c "${libs[@]}" \
        -o "$dir/hello-$variant"
done

# serve VARIANT [words before it]: starts it; its port is in $port.
serve() {
    local variant=$1
    shift
    rm -f "$dir/port"
    HELLO_IDLE_MS=60000 "$@" "$dir/hello-$variant" 13 >"$dir/port" 2>"$dir/log" &
    pid=$!
    local until=$((SECONDS + 60))
    until port=$(sed -n 's/^port //p' "$dir/port" 2>/dev/null) && [ -n "$port" ]; do
        [ "$SECONDS" -lt "$until" ] || { echo "hello-$variant does not start" >&2; exit 1; }
        sleep 0.05
    done
}

stop() {
    kill -TERM "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
    pid=""
}

# shellcheck disable=SC2317 # called by name
h1() { wrk -t1 -c64 -d"${seconds}s" "http://127.0.0.1:$port/" | awk '/Requests\/sec/ {print $2}'; }
# shellcheck disable=SC2317 # called by name
h2() {
    h2load -t1 -c32 -m32 -D"$seconds" "http://127.0.0.1:$port/" 2>&1 |
        awk '/^finished in/ {print $4}'
}

# instructions VARIANT PROTOCOL: of one request, by the difference of two counts.
instructions() {
    local variant=$1 n at=()
    for n in "$few" "$many"; do
        serve "$variant" valgrind --tool=callgrind --callgrind-out-file="$dir/callgrind" -q
        if [ "$2" = h1 ]; then
            h2load --h1 -t1 -c1 -m1 -n"$n" "http://127.0.0.1:$port/" >/dev/null 2>&1
        else
            h2load -t1 -c1 -m8 -n"$n" "http://127.0.0.1:$port/" >/dev/null 2>&1
        fi
        stop
        at+=("$(sed -n 's/^\(summary\|totals\): *//p' "$dir/callgrind" | head -n 1)")
    done
    echo $(((at[1] - at[0]) / (many - few)))
}

median() { sort -n | awk '{v[NR] = $1} END {print v[int((NR + 1) / 2)]}'; }

for protocol in h1 h2; do
    bare=$(instructions none $protocol) ours=$(instructions all $protocol)
    ratio=$(awk -v a="$bare" -v b="$ours" 'BEGIN {printf "%.3f", a / b}')
    echo "instructions per request, $protocol: bare $bare, patched $ours, ratio $ratio"
    awk -v r="$ratio" -v p="$promised" 'BEGIN {exit r < p}' || status=1
done
for protocol in h1 h2; do
    : >"$dir/none.$protocol"
    : >"$dir/all.$protocol"
    for ((round = 0; round < rounds; round++)); do
        for variant in none all; do
            serve "$variant"
            $protocol >>"$dir/$variant.$protocol"
            stop
        done
    done
    bare=$(median <"$dir/none.$protocol") ours=$(median <"$dir/all.$protocol")
    awk -v p="$protocol" -v a="$bare" -v b="$ours" \
        'BEGIN {printf "requests a second, %s: bare %d, patched %d, ratio %.3f\n", p, a, b, b / a}'
done
exit "$status"
