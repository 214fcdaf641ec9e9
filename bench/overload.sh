#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Measures what shedding promises (FAULTS D5): with three times as many lists as PostgreSQL can
# answer, the excess hears 503 at once, what is answered is as much as ever, memory stays; and sales
# beside them hardly notice. README.md tells what the figures mean.
#
#   make build build/tillway-issuer && dev/install.sh run bench && bench/overload.sh
#   BENCH_OVERLOAD_SECONDS=10                         how long each run is
#   TILLWAY_BIN=FILE                                  another gateway
#
# The status is not 0 when a promise is broken.
set -euo pipefail

bench=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
bench_var="bench-overload"
# shellcheck source-path=SCRIPTDIR source=setting.sh
. "$bench/setting.sh"

seconds=${BENCH_OVERLOAD_SECONDS:-6}
flood_connections=400
till_connections=32
pid=
clients=()
status=0

# shellcheck disable=SC2317  # called at the end
pids_to_end() { echo "${clients[@]}" "$pid"; }

# load NAME KIND CONNECTIONS RATE: one wrk, whose counts go to $work/NAME.
load() {
    BENCH_DIR=$bench BENCH_KIND=$2 BENCH_CONNECTIONS=$3 BENCH_RATE=$4 BENCH_RESULT=$work/$1 \
        BENCH_TOKEN=$token BENCH_PRODUCTS=$work/products BENCH_RUN=$(date +%s%N) \
        exec wrk -t 1 -c "$3" -d "${seconds}s" --timeout 10s -s "$bench/overload.lua" \
        "http://127.0.0.1:$http_port/" >"$work/$1.log" 2>&1
}

# together NAME KIND CONNECTIONS RATE ...: loads at the same time, to their ends.
together() {
    clients=()
    while [ $# -gt 0 ]; do
        load "$1" "$2" "$3" "$4" &
        clients+=($!)
        shift 4
    done
    wait "${clients[@]}" || fail "a client failed: $(tail -n 3 -- "$work"/*.log)"
    clients=()
}

# Answers 2xx a second of run $1.
goodput() { awk '{ printf "%.1f", $1 / $4 }' "$work/$1"; }

resident_kib() {
    local worker
    worker=$(<"/proc/$pid/task/$pid/children")
    awk '/^VmRSS/ { print $2 }' "/proc/${worker%% *}/status"
}

# p50 and p99 of what requests with status $1 took, in ms, from the lines of the log behind line $2.
took() {
    tail -n "+$(($2 + 1))" "$work/gateway.log" |
        awk -v status="\"status\":$1," 'index($0, status) && match($0, /"durationUs":[0-9]+/) {
            print substr($0, RSTART + 13, RLENGTH - 13) }' | sort -n | awk '
        { us[NR] = $1 }
        END { if (NR) printf "%.2f %.2f", us[int((NR - 1) * 0.5) + 1] / 1000, us[int((NR - 1) * 0.99) + 1] / 1000
              else printf "- -" }'
}

# promise TEXT VALUE LEAST MOST: says whether it holds.
promise() {
    awk -v text="$1" -v value="$2" -v least="$3" -v most="$4" 'BEGIN {
        kept = value != "-" && value + 0 >= least && value + 0 <= most
        printf "%-52s %8s  %s\n", text, value, kept ? "ok" : "PROMISE BROKEN (" least " to " most ")"
        exit !kept }' || status=1
}

ratio() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.3f", (b > 0 ? a / b : 0) }'; }

[[ $seconds =~ ^[1-9][0-9]?$ ]] || fail "'$seconds' is not a number from 1 to 99"
begin overload
http_port=$(port_free)
admin_port=$(other_port "$http_port")
basic_config "$http_port" "$admin_port" 1 12 >"$work/config.yaml"
migrate "$work/config.yaml"
load_sample
psql -X -q -v ON_ERROR_STOP=1 "$url" >/dev/null <<END
INSERT INTO products (product_id, name, price_minor, category)
SELECT gen_random_uuid(), 'Filler ' || i, 100, 'filler' FROM generate_series(1, 500) i;
INSERT INTO inventory (store_id, product_id, stock_milli)
SELECT 'main', product_id, 1000000000000 FROM products
ON CONFLICT (store_id, product_id) DO UPDATE SET stock_milli = excluded.stock_milli;
ANALYZE;
END
psql -X -At "$url" -c "SELECT product_id FROM products WHERE category <> 'filler'" >"$work/products"
start_gateway "$work/config.yaml" "$work/gateway.log" "$admin_port"

together warm-list list 8 0 warm-sale sale 8 0
together capacity list 8 0
capacity=$(goodput capacity)
# A connection that waits for its answer sends less than it should: three times as much is left.
offered=$(awk -v c="$capacity" 'BEGIN { printf "%d", 5 * c }')
before_kib=$(resident_kib)
from=$(wc -l <"$work/gateway.log")
together flood list $flood_connections "$offered"
after_kib=$(resident_kib)
read -r shed_p50 shed_p99 <<<"$(took 503 "$from")"
read -r ok_p50 ok_p99 <<<"$(took 200 "$from")"
together sale-max sale $till_connections 0
rate=$(awk -v c="$(goodput sale-max)" 'BEGIN { printf "%d", c / 2 }')
together quiet sale $till_connections "$rate"
together loud sale $till_connections "$rate" beside list $flood_connections "$offered"
together loud-max sale $till_connections 0 beside-max list $flood_connections "$offered"

awk -v capacity="$capacity" -v seconds="$seconds" '
    { printf "lists: %.0f/s alone; %.0f/s offered: %.0f/s answered, %.0f/s got 503, %d others\n", capacity,
        ($1 + $2 + $3) / $4, $1 / $4, $2 / $4, $3 }' "$work/flood"
printf 'p50 and p99: of 503 %s and %s ms, of 200 %s and %s ms; resident memory %d, then %d KiB\n' \
    "$shed_p50" "$shed_p99" "$ok_p50" "$ok_p99" "$before_kib" "$after_kib"
printf 'sales: %s/s paced; beside the flood %s/s, and %s lists/s\n' "$(goodput quiet)" "$(goodput loud)" \
    "$(goodput beside)"
printf 'sales as fast as they go: %s/s; beside the flood %s/s, and %s lists/s\n' "$(goodput sale-max)" \
    "$(goodput loud-max)" "$(goodput beside-max)"
echo
promise "offered, times capacity" "$(ratio "$(awk '{ print ($1 + $2 + $3) / $4 }' "$work/flood")" "$capacity")" 2.5 9
promise "lists answered / capacity" "$(ratio "$(goodput flood)" "$capacity")" 0.9 9
promise "p99 of a 503, ms" "$shed_p99" 0 5
promise "memory, after / before" "$(ratio "$after_kib" "$before_kib")" 0 1.3
promise "answers neither 2xx nor 503" "$(awk '{ n += $3 } END { print n + 0 }' "$work/flood" "$work/quiet" "$work/loud")" 0 0
promise "paced sales beside the flood / quiet" "$(ratio "$(goodput loud)" "$(goodput quiet)")" 0.9 9
exit "$status"
