#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Measures the offline batch: sales a second in calls of 500 on one connection, beside single POSTs on
# one connection in the same run.
#
#   make build build/tillway-issuer && dev/install.sh run bench && bench/batch.sh
#   BENCH_BATCH_SECONDS=3 BENCH_BATCH_ROUNDS=3        each run, and how often both are repeated
#   TILLWAY_BIN=FILE                                  another gateway
#
# The status is not 0 when a batch is slower than promised.
set -euo pipefail

bench=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
bench_var="bench-batch"
# shellcheck source-path=SCRIPTDIR source=setting.sh
. "$bench/setting.sh"
pid=
work='' url='' token='' # begin sets them

# shellcheck disable=SC2317  # called at the end
pids_to_end() { echo "$pid"; }

sql() { psql -X -q -v ON_ERROR_STOP=1 -Atc "$1" "$url"; }

begin batch
http_port=$(other_port)
admin_port=$(other_port "$http_port")
basic_config "$http_port" "$admin_port" 2 16 >"$work/tillway.yaml"
migrate "$work/tillway.yaml"
sql "insert into products (product_id, name, price_minor, tax_rate_micro)
     select gen_random_uuid(), 'Bench', 250, 190000 from generate_series(1, 200)"
sql "insert into inventory (store_id, product_id, stock_milli)
     select 'main', product_id, 1000000000000000 from products where name = 'Bench' on conflict do nothing"
sql "vacuum analyze"
sql "select product_id from products where name = 'Bench'" >"$work/products"
start_gateway "$work/tillway.yaml" "$work/gateway.log" "$admin_port"
echo "load before: $(cut -d' ' -f1-3 /proc/loadavg)"
/usr/bin/python3 -B "$bench/batch.py" "$http_port" "$token" "$work/products" \
    "${BENCH_BATCH_SECONDS:-3}" "${BENCH_BATCH_ROUNDS:-3}"
