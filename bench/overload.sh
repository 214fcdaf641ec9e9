#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Measures what shedding promises (FAULTS D5): with three times as many searches as PostgreSQL can
# answer, the excess hears 503 at once, what is answered is as much as ever, memory stays; and sales
# beside them hardly notice. README.md tells what the figures mean.
#
#   make build build/tillway-issuer && dev/install.sh run bench && bench/overload.sh
#   BENCH_OVERLOAD_SECONDS=10                         how long each of the ten runs is
#   TILLWAY_BIN=FILE                                  another gateway
#
# The status is not 0 when a promise is broken.
set -euo pipefail

bench=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
bench_var="bench-overload"
# shellcheck source-path=SCRIPTDIR source=setting.sh
. "$bench/setting.sh"

seconds=${BENCH_OVERLOAD_SECONDS:-5}
warm_seconds=3
tills=32 # connections that sell, or, when they sell at a rate, as many as are needed
pid=
clients=()
status=0
# Two letters that no product has: PostgreSQL looks at each of them, and the answer is short. So it
# is PostgreSQL that has too much to do, and not the client or the gateway.
search_path='/v1/products?q=zq'
products=8000
# shellcheck disable=SC2016  # {key} and its like are bench-openloop's
sale='{"registerId":"{register}","paymentMethod":"card","items":[{"productId":"{product}","quantity":1},{"productId":"{product}","quantity":1},{"productId":"{product}","quantity":1}]}'

# shellcheck disable=SC2317  # called at the end
pids_to_end() { echo "${clients[@]}" "$pid"; }

# load NAME KIND CONNECTIONS RATE: one generator; its lines go to $work/NAME. RATE 0: as fast as it
# goes.
load() {
    local words=(-c "$3" -r "$4" -s "$seconds" -H "Authorization: Bearer $token")
    if [ "$2" = search ]; then
        words+=("http://127.0.0.1:$http_port$search_path")
    else
        words+=(-H "Content-Type: application/json" -H "Idempotency-Key: {key}" -b "$sale"
            -p "$work/products" "http://127.0.0.1:$http_port/v1/transactions")
    fi
    exec "$root/build/bench-openloop" "${words[@]}" >"$work/$1" 2>"$work/$1.log"
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

# value RUN NAME: what its generator said.
value() { awk -v name="$2" '$1 == name { print $2 }' "$work/$1"; }
goodput() { value "$1" ok_per_s; }
# mean RUN RUN: of their goodput, as the machine is not always as fast.
mean() { times 0.5 "$(awk '$1 == "ok_per_s" { n += $2 } END { print n }' "$work/$1" "$work/$2")"; }
times() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.1f", a * b }'; }
ratio() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.3f", (b > 0 ? a / b : 0) }'; }

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

# What RUN was told that is neither success nor 503, and what was told nothing.
wrong() { awk '/^(other|lost|unsent) / { n += $2 } END { print n + 0 }' "${@/#/"$work/"}"; }

show() {
    printf '%-34s %8.1f/s offered %8.1f/s done %8.1f/s got 503   p50 %8.2f p99 %8.2f ms\n' "$1" \
        "$(value "$2" offered_per_s)" "$(goodput "$2")" "$(value "$2" shed_per_s)" \
        "$(value "$2" ok_p50_ms)" "$(value "$2" ok_p99_ms)"
}

[[ $seconds =~ ^[1-9][0-9]?$ ]] || fail "'$seconds' is not a number from 1 to 99"
make -s -C "$root" -f build.mk build/bench-openloop >&2
begin overload
http_port=$(port_free)
admin_port=$(other_port "$http_port")
basic_config "$http_port" "$admin_port" 1 12 >"$work/config.yaml"
migrate "$work/config.yaml"
load_sample
psql -X -q -v ON_ERROR_STOP=1 "$url" >/dev/null <<END
INSERT INTO products (product_id, name, price_minor, category)
SELECT gen_random_uuid(), 'Filler ' || i, 100, 'filler'
  FROM generate_series((SELECT count(*) FROM products), $products) i;
INSERT INTO inventory (store_id, product_id, stock_milli)
SELECT 'main', product_id, 1000000000000 FROM products
ON CONFLICT (store_id, product_id) DO UPDATE SET stock_milli = excluded.stock_milli;
VACUUM ANALYZE products, inventory; -- of empty tables it would say that they stay so
CHECKPOINT;
END
psql -X -At "$url" -c "SELECT product_id FROM products ORDER BY category = 'filler' LIMIT 200" >"$work/products"
start_gateway "$work/config.yaml" "$work/gateway.log" "$admin_port"

seconds=1 together warm-search search 3 0
seconds=$warm_seconds together warm-sale sale $tills 0
together capacity search 4 0
offered=$(times 3 "$(goodput capacity)")
fresh_kib=$(resident_kib)
# What the connections and a queue of a flood take is there before it is measured.
seconds=$warm_seconds together first-flood search 400 "$offered"
before_kib=$(resident_kib)
from=$(wc -l <"$work/gateway.log")
together flood search 400 "$offered"
after_kib=$(resident_kib)
read -r shed_p50 shed_p99 <<<"$(took 503 "$from")"
together capacity-again search 4 0
capacity=$(mean capacity capacity-again)
together sale-max sale $tills 0
rate=$(times 0.5 "$(goodput sale-max)")
together quiet sale 400 "$rate"
together loud sale 400 "$rate" beside search 400 "$offered"
together loud-max sale $tills 0 beside-max search 400 "$offered"
together sale-max-again sale $tills 0
alone=$(mean sale-max sale-max-again)

show "searches, 4 clients" capacity
show "searches, flood" flood
show "searches, 4 clients, again" capacity-again
show "sales, $tills tills" sale-max
show "sales at half of that" quiet
show "sales at half, beside the flood" loud
show "  the flood meanwhile" beside
show "sales, $tills tills, beside the flood" loud-max
show "  the flood meanwhile" beside-max
show "sales, $tills tills, again" sale-max-again
printf '503 by the log: p50 %s, p99 %s ms; resident memory %d, in the flood %d, after it %d KiB\n' \
    "$shed_p50" "$shed_p99" "$fresh_kib" "$before_kib" "$after_kib"
echo
promise "offered, times capacity" "$(ratio "$(value flood offered_per_s)" "$capacity")" 2.7 9
promise "searches answered / capacity" "$(ratio "$(goodput flood)" "$capacity")" 0.9 9
promise "p99 of a 503, ms" "$shed_p99" 0 5
promise "memory, after the flood / in it" "$(ratio "$after_kib" "$before_kib")" 0 1.1
promise "neither 2xx nor 503" "$(wrong flood quiet loud beside loud-max beside-max)" 0 0
promise "sales that got 503" "$(($(value loud shed) + $(value loud-max shed)))" 0 0
promise "sales at half beside the flood / quiet" "$(ratio "$(goodput loud)" "$(goodput quiet)")" 0.9 9
promise "sales of $tills tills beside the flood / alone" "$(ratio "$(goodput loud-max)" "$alone")" 0.9 9
exit "$status"
