#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What clients feel of somebody who scrapes /metrics 100 times a second: less than 5 % of p99.
#
#   make build build/tillway-issuer && dev/install.sh run bench && bench/scrape.sh
#   BENCH_SCRAPE_ROUNDS=8 BENCH_SCRAPE_SECONDS=3      seconds of each of the two runs of a round
#   BENCH_SCRAPE_RATE=100                             scrapes a second
#   TILLWAY_BIN=FILE                                  another gateway
#
# One worker, a product from memory at a quarter of the rate that a closed loop reaches. A round is a run with
# and a run without scrapes, in turn; ratios are taken within a round. README.md tells more. The status is
# 1 when the promise is broken.
set -euo pipefail

bench=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
bench_var="bench-scrape"
# shellcheck source-path=SCRIPTDIR source=setting.sh
. "$bench/setting.sh"

rounds=${BENCH_SCRAPE_ROUNDS:-8} seconds=${BENCH_SCRAPE_SECONDS:-3} scrapes=${BENCH_SCRAPE_RATE:-100}
connections=32
# shellcheck disable=SC2034  # for basic_config
bench_cache=16MiB
pid="" scraper=""

# shellcheck disable=SC2317  # called at the end
pids_to_end() { echo "$scraper" "$pid"; }

# value NAME LINE: what openloop said.
value() { awk -v name="$2" '$1 == name { print $2 }' "$work/$1"; }

# good FILE: nothing was refused or lost, and next to nothing came too late to be sent.
good() {
    awk '/^(shed|other|lost) / { bad += $2 } /^ok / { n = $2 } /^scheduled / { due = $2 }
        END { exit bad > 0 || n < 0.95 * due }' "$work/$1" ||
        fail "not every answer was good: $(tr '\n' ' ' <"$work/$1")"
}

# load NAME RATE: a run of clients.
load() {
    "$root/build/bench-openloop" -c "$connections" -r "$2" -s "$seconds" -H "Authorization: Bearer $token" \
        "http://127.0.0.1:$http_port/v1/products/$product" >"$work/$1"
    good "$1"
}

# scraped NAME RATE: the same beside scrapes.
scraped() {
    "$root/build/bench-openloop" -c 4 -r "$scrapes" -s "$seconds" "http://127.0.0.1:$admin_port/metrics" \
        >"$work/$1.scrapes" &
    scraper=$!
    load "$1" "$2"
    wait "$scraper" || fail "the scraper failed"
    scraper=""
    good "$1.scrapes"
}

# median NAME FILE...: of that value in them.
median() {
    local name=$1
    shift
    awk -v name="$name" '$1 == name { print $2 }' "$@" | sort -n |
        awk '{ v[NR] = $1 } END { print (v[int((NR + 1) / 2)] + v[int(NR / 2) + 1]) / 2 }'
}

cpu_ticks() { awk '{ sub(/.*\) /, ""); print $12 + $13 }' "/proc/$1/stat"; }

[[ $rounds =~ ^[1-9][0-9]?$ && $seconds =~ ^[1-9][0-9]?$ ]] || fail "rounds and seconds are numbers from 1 to 99"
make -s -C "$root" -f build.mk build/bench-openloop >&2
begin scrape
http_port=$(port_free)
admin_port=$(other_port "$http_port")
basic_config "$http_port" "$admin_port" 1 >"$work/config.yaml"
migrate "$work/config.yaml"
load_sample
product=$("$here/product-id.sh" BEV-0001)
start_gateway "$work/config.yaml" "$work/gateway.log" "$admin_port"

load warm 0
load closed 0
rate=$(awk -v most="$(value closed ok_per_s)" 'BEGIN { printf "%d", most / 4 }')
curl -fsS --noproxy '*' "http://127.0.0.1:$admin_port/metrics" >"$work/text"
before=$(cpu_ticks "$pid")
for ((round = 0; round < rounds; round++)); do
    if ((round % 2)); then
        scraped "with.$round" "$rate"
        load "without.$round" "$rate"
    else
        load "without.$round" "$rate"
        scraped "with.$round" "$rate"
    fi
    awk -v a="$(value "with.$round" ok_p99_ms)" -v b="$(value "without.$round" ok_p99_ms)" \
        'BEGIN { print "ratio", a / b }' >"$work/ratio.$round"
done
after=$(cpu_ticks "$pid")

ratio=$(median ratio "$work"/ratio.*)
printf 'a product from memory, %d requests/s (a quarter of what a closed loop reaches), %d rounds of 2 x %d s\n' \
    "$rate" "$rounds" "$seconds"
printf '%-28s p50 %.3f ms, p99 %.3f ms, p99.9 %.3f ms\n' \
    "without scrapes" "$(median ok_p50_ms "$work"/without.?)" "$(median ok_p99_ms "$work"/without.?)" \
    "$(median ok_p999_ms "$work"/without.?)" \
    "with $scrapes scrapes a second" "$(median ok_p50_ms "$work"/with.?)" "$(median ok_p99_ms "$work"/with.?)" \
    "$(median ok_p999_ms "$work"/with.?)"
printf 'a scrape: %d bytes in %d lines, p50 %.2f ms, p99 %.2f ms; the master used %.2f ms of a processor for it\n' \
    "$(wc -c <"$work/text")" "$(wc -l <"$work/text")" "$(median ok_p50_ms "$work"/with.?.scrapes)" \
    "$(median ok_p99_ms "$work"/with.?.scrapes)" \
    "$(awk -v ticks=$((after - before)) -v hz="$(getconf CLK_TCK)" -v n=$((rounds * seconds * scrapes)) \
        'BEGIN { print 1000 * ticks / hz / n }')"
awk -v ratio="$ratio" 'BEGIN {
    kept = ratio < 1.05
    printf "p99 with scrapes is %.3f of p99 without (median of the rounds): %s\n", ratio, kept ? "ok" : "PROMISE BROKEN (1.05)"
    exit !kept }'
