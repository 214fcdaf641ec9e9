#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What clients feel of somebody who scrapes /metrics 100 times a second: less than 5 % of p99.
#
#   make build build/tillway-issuer && dev/install.sh run bench && bench/scrape.sh
#   BENCH_SCRAPE_ROUNDS=20 BENCH_SCRAPE_SECONDS=10    a round's seconds
#   BENCH_SCRAPE_RATE=100                             scrapes a second
#   BENCH_SCRAPE_LOAD=0.25                            of what a closed loop reaches; 1: a closed loop
#   BENCH_SCRAPE_KEEP=FILE                            rounds are added to those in FILE: several calls count as one
#   BENCH_SCRAPED=nginx                               nginx serves the same text as a file: what no server can spare
#   BENCH_SCRAPER="chrt --idle 0"                     words before the scraper
#   TILLWAY_BIN=FILE                                  another gateway
#
# One worker, a product from memory at a quarter of the rate that a closed loop reaches. There are scrapes in every
# second turn of 100 ms. Each turn has its p99, of the requests that were due in it; a round divides the median of the
# turns with scrapes by that of those without. So a pause of the machine spoils a turn or two and no more. The median
# of the ratios has a confidence interval (of 95 %, from ranks: nothing is assumed of how they are spread). The scraper
# stands for another machine, so it gets what the others leave of this one's processors. README.md tells more. The
# status is 1 when the median breaks the promise.
set -euo pipefail

bench=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
bench_var="bench-scrape"
# shellcheck source-path=SCRIPTDIR source=setting.sh
. "$bench/setting.sh"

rounds=${BENCH_SCRAPE_ROUNDS:-20} seconds=${BENCH_SCRAPE_SECONDS:-10} scrapes=${BENCH_SCRAPE_RATE:-100}
part=${BENCH_SCRAPE_LOAD:-0.25} whom=${BENCH_SCRAPED:-tillway}
connections=32 turn_ms=100
read -ra before_scraper <<<"${BENCH_SCRAPER-chrt --idle 0}"
# shellcheck disable=SC2034  # for basic_config
bench_cache=16MiB
pid="" scraper="" nginx=""

# shellcheck disable=SC2317  # called at the end
pids_to_end() { echo "$scraper" "$nginx" "$pid"; }

# value NAME LINE: what openloop said.
value() { awk -v name="$2" '$1 == name { print $2 }' "$work/$1"; }

# good FILE: nothing was refused or lost, and next to nothing came too late to be sent.
good() {
    awk '/^(shed|other|lost) / { bad += $2 } /^ok / { n = $2 } /^scheduled / { due = $2 }
        END { exit bad > 0 || n < 0.95 * due }' "$work/$1" ||
        fail "not every answer was good: $(tr '\n' ' ' <"$work/$1")"
}

# load NAME RATE SECONDS: a run of clients.
load() {
    "$root/build/bench-openloop" -c "$connections" -r "$2" -s "$3" -t "$turn_ms" -H "Authorization: Bearer $token" \
        "http://127.0.0.1:$http_port/v1/products/$product" >"$work/$1"
    good "$1"
}

# scraped NAME RATE SECONDS: the same, with scrapes in odd turns.
scraped() {
    "${before_scraper[@]}" "$root/build/bench-openloop" -c 4 -r "$scrapes" -s "$3" -t "$turn_ms" -o \
        "http://127.0.0.1:$scraped_port/metrics" \
        >"$work/scrapes.$1" &
    scraper=$!
    load "$1" "$2" "$3"
    wait "$scraper" || fail "the scraper failed"
    scraper=""
    good "scrapes.$1"
}

# start_nginx PORT: $work/text is its /metrics; its worker is what costs, $scraped_pid.
start_nginx() {
    mkdir "$work/www"
    cp -- "$work/text" "$work/www/metrics"
    sed "s|@PORT@|$1|; s|@WORK@|$work|" "$bench/peers/nginx-file.conf.in" >"$work/nginx.conf"
    nginx -c "$work/nginx.conf" -e "$work/nginx.err" 2>"$work/nginx.out" &
    nginx=$!
    until curl -fsS --noproxy '*' -o /dev/null "http://127.0.0.1:$1/metrics" 2>"$work/curl.err"; do
        process_start "$nginx" >/dev/null || fail "nginx did not start: $(tail -n 1 "$work/nginx.err" "$work/nginx.out")"
        sleep 0.05
    done
    scraped_pid=$(pgrep -P "$nginx")
}

# median NAME FILE...: of that value in them.
median() {
    local name=$1
    shift
    awk -v name="$name" '$1 == name { print $2 }' "$@" | sort -n |
        awk '{ v[NR] = $1 } END { print (v[int((NR + 1) / 2)] + v[int(NR / 2) + 1]) / 2 }'
}

cpu_ticks() { awk '{ sub(/.*\) /, ""); print $12 + $13 }' "/proc/$1/stat"; }

[[ $whom =~ ^(tillway|nginx)$ ]] || fail "BENCH_SCRAPED is tillway or nginx"
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

load warm 0 1
load closed 0 1
rate=$(awk -v most="$(value closed ok_per_s)" -v part="$part" 'BEGIN { printf "%d", part < 1 ? part * most : 0 }')
curl -fsS --noproxy '*' "http://127.0.0.1:$admin_port/metrics" >"$work/text"
scraped_port=$admin_port scraped_pid=$pid
if [ "$whom" = nginx ]; then
    scraped_port=$(other_port "$http_port" "$admin_port")
    start_nginx "$scraped_port"
fi
kept=${BENCH_SCRAPE_KEEP:-$work/rounds}
before=$(cpu_ticks "$scraped_pid")
for ((round = 0; round < rounds; round++)); do
    scraped "round.$round" "$rate" "$seconds"
    echo "$(median even_p99_ms "$work/round.$round") $(median odd_p99_ms "$work/round.$round")" >>"$kept"
done
after=$(cpu_ticks "$scraped_pid")

printf 'a product from memory, %s of what a closed loop reaches (%.0f requests/s), %d rounds of %d s\n' \
    "$part" "$(median ok_per_s "$work"/round.*)" "$rounds" "$seconds"
printf 'p50 %.3f ms, p99 %.3f ms, p99.9 %.3f ms, of all together\n' "$(median ok_p50_ms "$work"/round.*)" \
    "$(median ok_p99_ms "$work"/round.*)" "$(median ok_p999_ms "$work"/round.*)"
printf 'a scrape: %d bytes in %d lines, p50 %.2f ms, p99 %.2f ms; %s used %.2f ms of a processor for it\n' \
    "$(wc -c <"$work/text")" "$(wc -l <"$work/text")" "$(median ok_p50_ms "$work"/scrapes.*)" \
    "$(median ok_p99_ms "$work"/scrapes.*)" "${whom/tillway/the master}" \
    "$(awk -v ticks=$((after - before)) -v hz="$(getconf CLK_TCK)" \
        '/^ok / { n += $2 } END { print 1000 * ticks / hz / n }' "$work"/scrapes.*)"
awk '{ print "ratio", $2 / $1; print "without", $1; print "with", $2 }' "$kept" | sort -k 1,1 -k 2,2g | awk -v whom="$whom" '
    { v[$1, ++n[$1]] = $2 }
    function at(name, part) { return v[name, int(part * (n[name] - 1) + 1.5)] }
    END {
        rounds = n["ratio"]
        rank = int((rounds - 1.96 * sqrt(rounds)) / 2)
        if (rank < 1) rank = 1
        kept = whom != "tillway" || at("ratio", 0.5) < 1.05
        verdict = whom != "tillway" ? "what " whom " costs" : kept ? "ok" : "PROMISE BROKEN (1.05)"
        printf "%d rounds: p99 without scrapes %.3f ms (quarters of the rounds: %.3f, %.3f), with %.3f ms (%.3f, %.3f)\n",
            rounds, at("without", 0.5), at("without", 0.25), at("without", 0.75), at("with", 0.5), at("with", 0.25),
            at("with", 0.75)
        printf "p99 with scrapes is %.3f of p99 without (median of the rounds, 95 %% between %.3f and %.3f): %s\n",
            at("ratio", 0.5), v["ratio", rank], v["ratio", rounds + 1 - rank], verdict
        exit !kept
    }'
