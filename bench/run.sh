#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Measures one worker against pgbench with the same statements, on a database and gateway of its own
# (make bench), and then what it costs to know who calls (identity.sh). README.md tells what the
# figures mean.
#
#   BENCH_ROUNDS=5 BENCH_SECONDS=4      how often each figure is measured, and how long
#   BENCH_CONNECTIONS=64                wrk's connections
#   BENCH_WRK_THREADS=1 BENCH_PGBENCH_THREADS=1
#   BENCH_SAVE=1                        keep the result as bench/results/DATE.json
#
# The table goes to standard output, the same as JSON to var/bench/last.json. The status is not 0
# when a figure is invalid. Everything that was started is stopped at the end, also by Ctrl-C.
set -euo pipefail

bench=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
export TILLWAY_VAR=${BENCH_VAR:-$bench/../var/bench} CONFIG=$bench/bench.yaml
unset TILLWAY_ISSUER_PORT
# shellcheck source-path=SCRIPTDIR source=../dev/stack.sh
. "$bench/../dev/stack.sh"

rounds=${BENCH_ROUNDS:-5}
seconds=${BENCH_SECONDS:-4}
connections=${BENCH_CONNECTIONS:-64}
threads=${BENCH_WRK_THREADS:-1}
pg_threads=${BENCH_PGBENCH_THREADS:-1}
pg_connections=8
h2_connections=8
h2_streams=16
registers=64
figures=(read_pgbench read_http1 read_h2c sale_pgbench sale_http1)
runs=$var/run/bench.tsv
client_pid=

for number in "$rounds" "$seconds" "$connections" "$threads" "$pg_threads"; do
    [[ $number =~ ^[1-9][0-9]{0,3}$ ]] || fail "'$number' is not a number from 1 to 9999 (BENCH_*)"
done

# shellcheck disable=SC2317  # called by the trap
finish() {
    local status=$?
    trap '' INT TERM HUP # a second Ctrl-C must not cut the stopping short
    trap - EXIT
    [ -z "$client_pid" ] || kill "$client_pid" 2>/dev/null || true
    stop_started
    rm -f -- "$var/log/gateway.log" "$var/run"/pgbench_log.*
    [ "$status" -eq 0 ]
}

# ---- the setting ---------------------------------------------------------------------------------

free_ports() {
    http_port=$(port_free)
    https_port=$http_port
    while [ "$https_port" = "$http_port" ]; do https_port=$(port_free); done
    admin_port=$http_port
    while [ "$admin_port" = "$http_port" ] || [ "$admin_port" = "$https_port" ]; do
        admin_port=$(port_free)
    done
}

# A database without the sales of earlier runs.
fresh_database() {
    start_postgres
    "$here/postgres.sh" dropdb "$var/postgres" tillway
    "$here/postgres.sh" createdb "$var/postgres" tillway
}

sql() {
    psql -X -q -v ON_ERROR_STOP=1 -Atc "$1" "$url"
}

# Stock is moved by every sale, as it is in a shop, but never runs out.
prepare_data() {
    url=$("$here/postgres.sh" url "$var/postgres")
    sql "update inventory set stock_milli = 1000000000000000"
    sql "select product_id from inventory where store_id = 'main' order by 1" >"$var/run/products"
    sql "vacuum analyze"
    product=$("$here/product-id.sh" BEV-0001)
}

# The array of all products is a constant of the statement: drawing from it costs PostgreSQL nothing.
# A sale's id grows with time, as the gateway's own do, and serves as the key as well.
write_scripts() {
    local ids id
    ids="'{$(paste -sd, "$var/run/products")}'::uuid[]"
    id="lpad(to_hex(:t::bigint), 12, '0') || '70008' || lpad(to_hex(:client_id::bigint), 15, '0')"
    echo ':id' >"$var/run/read.expressions"
    awk -v expressions="$var/run/read.expressions" -f "$bench/statement.awk" \
        "$root/db/queries/product_get.sql" >"$var/run/read.pgbench"
    cat >"$var/run/sale.expressions" <<END
ARRAY[($id)::uuid]
ARRAY['pgbench']
ARRAY[$id]
ARRAY['\x0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef'::bytea]
ARRAY['main']
ARRAY[:r::text]
ARRAY['pgbench']
ARRAY[NULL]
ARRAY['card']
ARRAY[NULL]
ARRAY[NULL]
ARRAY[NULL]
ARRAY[NULL]
ARRAY[1, 1, 1]
ARRAY[($ids)[:a::int], ($ids)[:b::int], ($ids)[:c::int]]
ARRAY[1000, 1000, 1000]
ARRAY[0, 0, 0]
'{}'
'{}'
'{}'
'{}'
'EUR'
true
'UTC'
0
END
    {
        echo '\set t :t + 1'
        printf '\\set %s random(1, :products)\n' a b c
        echo "\\set r random(1, $registers)"
        awk -v expressions="$var/run/sale.expressions" -f "$bench/statement.awk" \
            "$root/db/queries/record_sales.sql"
    } >"$var/run/sale.pgbench"
}

# What is measured must be the real answer.
check_answer() {
    local answer address=http://127.0.0.1:$http_port/v1/products/$product
    token=$("$here/token.sh")
    answer=$(curl -fsS --noproxy '*' --max-time 5 -H "Authorization: Bearer $token" "$address") ||
        fail "the gateway does not answer for product $product"
    [[ $answer == *"$product"*'"price"'* ]] || fail "not a product: $answer"
    ! curl -fs -o /dev/null --noproxy '*' --max-time 5 "$address" ||
        fail "the gateway answers without a token"
}

# ---- what processes used and did -----------------------------------------------------------------

# Sums user and system time of processes "$@" in clock ticks; with -c also of their dead children.
ticks() {
    local pid stat rest sum=0 with_children=
    [ "$1" != -c ] || { with_children=1 && shift; }
    for pid in "$@"; do
        { stat=$(<"/proc/$pid/stat"); } 2>/dev/null || continue
        read -ra rest <<<"${stat##*) }"
        sum=$((sum + rest[11] + rest[12]))
        [ -z "$with_children" ] || sum=$((sum + rest[13] + rest[14]))
    done
    echo "$sum"
}

children() {
    cat "/proc/$1/task/$1/children"
}

# A backend's time goes to the postmaster when it ends.
postgres_ticks() {
    local pids
    read -ra pids <<<"$(children "$postmaster_pid")"
    echo $(($(ticks "${pids[@]}") + $(ticks -c "$postmaster_pid")))
}

# Answers other than 2xx, lost log lines and restarted workers, as the gateway itself counts them.
gateway_faults() {
    curl -fsS --noproxy '*' --max-time 5 "http://127.0.0.1:$admin_port/metrics" | awk '
        /^tillway_http_requests_total/ && !/status="(2xx|abandoned)"/ { faults += $2 }
        /^tillway_(log_lines_dropped|worker_restarts)_total/ { faults += $2 }
        END { printf "%d\n", faults }'
}

# ---- the clients ---------------------------------------------------------------------------------
# Each measures for $1 seconds and prints: requests, seconds, errors, p50, p99 (µs; - if unknown).

client() {
    local status=0
    "$@" >"$var/log/client.log" 2>&1 &
    client_pid=$!
    wait "$client_pid" || status=$?
    client_pid=
    [ "$status" -eq 0 ] || {
        tail -n 5 -- "$var/log/client.log" >&2
        fail "$1 failed (its last lines are above)"
    }
}

wrk_run() {
    BENCH_DIR=$bench BENCH_TOKEN=$token BENCH_RESULT=$var/run/result BENCH_PRODUCTS=$var/run/products \
        BENCH_RUN=$(date +%s%N) client wrk -t "$threads" -c "$connections" -d "$1s" \
        --timeout 10s -s "$bench/$2.lua" "http://127.0.0.1:$http_port/v1/products/$product"
}

# $2: file of the script, $3: part of the transactions whose latency is taken, then variables.
pgbench_run() {
    local time=$1 script=$2 sample=$3
    shift 3
    rm -f -- "$var/run"/pgbench_log.*
    client pgbench -n -M prepared -c "$pg_connections" -j "$pg_threads" -T "$time" \
        -f "$var/run/$script" -l --log-prefix="$var/run/pgbench_log" --sampling-rate="$sample" "$@" "$url"
    awk '
        /^number of transactions actually processed/ { requests = $6 }
        /^number of failed transactions/ { errors = $5 }
        /^tps/ { rate = $3 }
        END { printf "%d %.6f %d ", requests, requests / rate, errors }' "$var/log/client.log" \
        >"$var/run/result"
    cat -- "$var/run"/pgbench_log.* | awk '{ print $3 }' | percentiles >>"$var/run/result"
}

# p50 and p99 of the numbers on standard input.
percentiles() {
    sort -n | awk '{ value[NR] = $1 } END {
        print NR ? value[int((NR - 1) * 0.5) + 1] " " value[int((NR - 1) * 0.99) + 1] : "- -" }'
}

h2load_run() {
    local time=$1
    shift
    client h2load -c "$h2_connections" -m "$h2_streams" -t 1 -D "$time" "$@" \
        -H "authorization: Bearer $token" "http://127.0.0.1:$http_port/v1/products/$product"
    awk -v seconds="$time" '
        /^requests:/ { requests = $8; errors = $10 + $12 + $14 }
        /^status codes:/ { errors += $5 + $7 + $9 }
        END { printf "%d %.6f %d - -\n", requests, seconds, errors }' "$var/log/client.log" \
        >"$var/run/result"
}

run_read_pgbench() { pgbench_run "$1" read.pgbench 0.02 -D "id=$product"; }
run_read_http1() { wrk_run "$1" product; }
run_read_h2c() { h2load_run "$1"; }
run_sale_pgbench() {
    pgbench_run "$1" sale.pgbench 1 -D "t=$(($(date +%s) * 100000))" \
        -D "products=$(wc -l <"$var/run/products")"
}
run_sale_http1() { wrk_run "$1" sale; }

# ---- measuring -----------------------------------------------------------------------------------

# Sales that the client was told of but that the database does not have: it had $1, the client says $2.
missing_sales() {
    local recorded
    recorded=$(($(sql "select count(*) from transactions") - $1))
    echo $(($2 > recorded ? $2 - recorded : 0))
}

# One measurement: a line of $runs.
measure() {
    local figure=$1 workers gateway postgres faults sales requests time errors p50 p99
    read -ra workers <<<"$(children "$gateway_pid")"
    sales=$(sql "checkpoint; select count(*) from transactions")
    : >"$var/log/gateway.log"
    faults=$(gateway_faults)
    gateway=$(ticks "${workers[@]}")
    postgres=$(postgres_ticks)
    "run_$figure" "$seconds"
    gateway=$(($(ticks "${workers[@]}") - gateway))
    postgres=$(($(postgres_ticks) - postgres))
    read -r requests time errors p50 p99 <"$var/run/result"
    errors=$((errors + $(gateway_faults) - faults))
    [[ $figure != sale_* ]] || errors=$((errors + $(missing_sales "$sales" "$requests")))
    printf '%s\t' "$round" "$figure" "$requests" "$time" "$errors" "$p50" "$p99" "$gateway" >>"$runs"
    printf '%s\n' "$postgres" >>"$runs"
}

# Percentiles of HTTP/2 need h2load's log of every request, which slows it: a run of its own.
h2c_latency() {
    : >"$var/log/gateway.log"
    h2load_run 2 --log-file="$var/run/h2load.log"
    h2c_percentiles=$(awk '$2 == 200 { print $3 }' "$var/run/h2load.log" | percentiles)
    rm -f -- "$var/run/h2load.log"
}

warm_up() {
    local figure
    for figure in "${figures[@]}"; do
        "run_$figure" 1
    done
}

# Interleaved, and each round begins with another figure, so that a slow minute meets all of them.
measure_all() {
    local i round
    printf '' >"$runs"
    warm_up
    for ((round = 1; round <= rounds; round++)); do
        for ((i = 0; i < ${#figures[@]}; i++)); do
            measure "${figures[(round - 1 + i) % ${#figures[@]}]}"
        done
        say "round $round of $rounds"
    done
    h2c_latency
}

# Where and when; the load before measuring tells whether the machine was quiet.
machine() {
    bench_cores=$(nproc)
    bench_cpu=$(awk -F': *' '/^model name/ { print $2; exit }' /proc/cpuinfo)
    bench_kernel=$(uname -r)
    bench_memory_mib=$(awk '/^MemTotal/ { printf "%d", $2 / 1024 }' /proc/meminfo)
    bench_load=$(cut -d' ' -f1 /proc/loadavg)
    bench_postgres=$(sql 'show server_version')
    bench_version=$("$root/build/tillway" version)
    bench_revision=$(git -C "$root" rev-parse --short=12 HEAD 2>/dev/null || echo unknown)
    bench_date=$(date -u +%Y-%m-%dT%H:%M:%SZ)
    export bench_cores bench_cpu bench_kernel bench_memory_mib bench_load bench_postgres bench_version \
        bench_revision bench_date
    awk -v load="$bench_load" 'BEGIN { exit load > 0.5 }' ||
        say "the machine is not quiet (load $bench_load): take the figures for a smoke test"
}

report() {
    awk -v form="$1" -v figures="${figures[*]}" -v ticks_per_s="$(getconf CLK_TCK)" \
        -v h2c_percentiles="$h2c_percentiles" -v rounds="$rounds" -v seconds="$seconds" \
        -v connections="$connections" -v threads="$threads" -v pg_connections="$pg_connections" \
        -v pg_threads="$pg_threads" -v h2_connections="$h2_connections" -v h2_streams="$h2_streams" \
        -f "$bench/report.awk" "$runs"
}

make_directories
lock
trap finish EXIT
trap 'exit 130' INT TERM HUP
free_ports
fresh_database
start_surroundings
prepare_data
write_scripts
start_gateway >"$var/log/gateway.log" 2>&1
wait_ready || {
    tail -n 20 -- "$var/log/gateway.log" >&2
    fail "the gateway did not start (its last lines are above)"
}
unlock
check_answer
postmaster_pid=$("$here/postgres.sh" status "$var/postgres" | sed 's/^running: pid \([0-9]*\),.*/\1/')
machine
measure_all
report json >"$var/last.json"
[ -z "${BENCH_SAVE:-}" ] || {
    mkdir -p -- "$bench/results"
    saved=$bench/results/$(date -u +%Y-%m-%dT%H%M%SZ)
    cp -- "$var/last.json" "$saved.json"
}
status=0
report table || status=1
stop_part gateway
echo
"$bench/identity.sh" || status=1
[ -z "${BENCH_SAVE:-}" ] || cp -- "$var/identity.json" "$saved-identity.json"
[ "$status" -eq 0 ]
