#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Tests of the schema and of the statements, against a real PostgreSQL.
#
#   tests/sql/run.sh DATABASE_URL [NAME]     NAME: that .sql file alone
#
# Works in a schema of its own, made from db/migrations and dropped at the end, so any database will
# do. Every .sql file is one test in a transaction that is rolled back; the concurrent tests below
# commit, each in a store of its own, and end with the invariants over all they have left.
set -uo pipefail
url=${1:?usage: run.sh DATABASE_URL [NAME]}
only=${2:-}
here=$(cd "$(dirname "$0")" && pwd)
db=$here/../../db
schema=tillway_test_$$
work=$(mktemp -d)
passed=0
failed=0

sql() { psql "$url" -X -q -At -v ON_ERROR_STOP=1 "$@"; }

finish() {
    PGOPTIONS='-c client_min_messages=warning' sql -c "DROP SCHEMA IF EXISTS $schema CASCADE"
    rm -rf "$work"
}
trap finish EXIT

sql -c "CREATE SCHEMA $schema" || exit 1
export PGOPTIONS="-c search_path=$schema,public -c client_min_messages=warning -c jit=off"
for migration in "$db"/migrations/*.sql; do
    if grep -q "^-- tillway: outside a transaction$" "$migration"; then one=(); else one=(-1); fi
    sql "${one[@]}" -f "$migration" || exit 1
done
for query in "$db"/queries/*.sql; do
    grep -qE '^-- lane: (fast|write|slow)$' "$query" || continue
    echo "PREPARE $(basename "$query" .sql) AS"
    cat "$query"
    echo ';'
done >"$work/prepare.sql"

report() { # name, status of the test; its output is in $work/out
    if [ "$2" -eq 0 ]; then
        echo "ok      $1"
        passed=$((passed + 1))
    else
        echo "FAILED  $1"
        sed 's/^/        /' "$work/out"
        failed=$((failed + 1))
    fi
}

expect() { # query, wanted
    local got
    got=$(sql -c "$1") || return 1
    [ "$got" = "$2" ] || { printf 'got %s, wanted %s: %s\n' "$got" "$2" "$1"; return 1; }
}

# clients, transactions each, script. A failed transaction (deadlock included) fails the test.
bench() {
    if ! pgbench "$url" -n -M prepared -c "$1" -j 2 -t "$2" -f "$3" >"$work/bench" 2>&1 ||
        ! grep -q 'number of failed transactions: 0 ' "$work/bench"; then
        cat "$work/bench"
        return 1
    fi
}

# One sale per transaction: key, store, products, quantity of each.
one_sale() {
    cat <<SQL
INSERT INTO outcome
SELECT '$2', verdict, md5(concat_ws('|', transaction_id, recorded_at, total_minor, receipt_number, item_names))
  FROM record_sales(ARRAY[gen_random_uuid()], ARRAY['user'], ARRAY[$1], ARRAY['\\x01'::bytea], ARRAY['$2'],
    ARRAY['r' || :client_id % 4], ARRAY['c'], ARRAY[NULL::timestamptz], ARRAY['cash'], ARRAY[NULL::int8],
    ARRAY[NULL::uuid], ARRAY[NULL::int8], ARRAY[NULL::bool],
    array_fill(1, ARRAY[cardinality($3)]), $3, array_fill($4::int8, ARRAY[cardinality($3)]),
    array_fill(0::int8, ARRAY[cardinality($3)]), '{}', '{}', '{}', '{}', 'EUR', false, 'UTC', 0);
SQL
}

test_last_item() {
    one_sale 'gen_random_uuid()::text' last 'ARRAY[test_id(1)]' 1000 >"$work/s.sql"
    bench 50 2 "$work/s.sql" &&
        expect "SELECT string_agg(verdict || ' ' || n, ', ' ORDER BY verdict) FROM (SELECT verdict, count(*) AS n
                FROM outcome WHERE store = 'last' GROUP BY verdict) o" 'insufficient-stock 99, recorded 1' &&
        expect "SELECT stock_milli FROM inventory WHERE store_id = 'last' AND product_id = test_id(1)" 0
}

test_same_key() {
    one_sale "'the key'" same 'ARRAY[test_id(2), test_id(1)]' 1000 >"$work/s.sql"
    bench 50 1 "$work/s.sql" &&
        expect "SELECT string_agg(verdict || ' ' || n, ', ' ORDER BY verdict) FROM (SELECT verdict, count(*) AS n
                FROM outcome WHERE store = 'same' GROUP BY verdict) o" 'recorded 1, replayed 49' &&
        expect "SELECT count(DISTINCT answer) FROM outcome WHERE store = 'same'" 1 &&
        expect "SELECT count(*) FROM transactions WHERE store_id = 'same'" 1
}

# The id of a till's sale arrives under two keys at once: one sale; the other is refused, or is told
# to run again by 23505, and then refused.
test_same_id() {
    sed "s/ARRAY\[gen_random_uuid()\]/ARRAY[test_id(77)]/" <(one_sale 'gen_random_uuid()::text' sameid \
        'ARRAY[test_id(2)]' 1000) >"$work/s.sql"
    pgbench "$url" -n -M prepared -c 8 -j 2 -t 2 -f "$work/s.sql" >"$work/bench" 2>&1
    if grep ERROR "$work/bench" | grep -v transactions_pkey; then return 1; fi
    expect "SELECT count(*) FROM transactions WHERE store_id = 'sameid'" 1 &&
        expect "SELECT count(*) FROM idempotency_keys WHERE transaction_id = test_id(77)" 1
}

# Two products in opposite orders, single sales.
test_crossing_baskets() {
    one_sale 'gen_random_uuid()::text' cross 'CASE WHEN :client_id % 2 = 0 THEN ARRAY[test_id(3), test_id(4)]
        ELSE ARRAY[test_id(4), test_id(3)] END' 1000 >"$work/s.sql"
    bench 16 50 "$work/s.sql" &&
        expect "SELECT count(*) FROM outcome WHERE store = 'cross' AND verdict = 'recorded'" 800
}

# The same new keys at the same time, each client in its own order. Clients agree on the keys by the
# clock, so that most of them are new and wanted by several at once.
test_crossing_keys() {
    cat >"$work/s.sql" <<'SQL'
INSERT INTO outcome
SELECT 'keys', verdict, transaction_id::text FROM (
    SELECT array_agg(gen_random_uuid()) AS ids, array_agg('user'::text) AS scopes,
           array_agg('crossing ' || floor(extract(epoch FROM clock_timestamp()) * 50) || ' ' || n
                     ORDER BY random()) AS keys,
           array_agg('\x01'::bytea) AS fingerprints, array_agg('keys'::text) AS stores,
           array_agg('r' || :client_id) AS registers, array_agg('cash'::text) AS cash,
           array_agg(NULL::timestamptz) AS times, array_agg(NULL::int8) AS totals,
           array_agg(NULL::uuid) AS customers, array_agg(NULL::bool) AS offline
      FROM generate_series(1, 12) n) s, (
    SELECT array_agg(n) AS sales, array_agg(test_id(19)) AS products, array_agg(1000::int8) AS quantities,
           array_agg(0::int8) AS discounts FROM generate_series(1, 12) n) l,
    record_sales(ids, scopes, keys, fingerprints, stores, registers, cash, times, cash, totals,
                 customers, totals, offline, sales, products, quantities, discounts, '{}', '{}', '{}', '{}', 'EUR', true, 'UTC', 0);
SQL
    bench 8 60 "$work/s.sql" &&
        expect "SELECT string_agg(DISTINCT verdict, ' ' ORDER BY verdict) FROM outcome WHERE store = 'keys'" \
            'recorded replayed'
}

# Batches with everything in random order: stores, registers, products, and keys from a small set,
# so that duplicates, replays, mismatches, shortages and unknown products all meet.
test_crossing_batches() {
    cat >"$work/s.sql" <<'SQL'
\set size random(1, 24)
INSERT INTO outcome
SELECT 'mixed', verdict, transaction_id::text FROM (
    SELECT array_agg(gen_random_uuid()) AS ids, array_agg('user'::text) AS scopes,
           array_agg('k' || floor(random() * 4000)::int) AS keys,
           array_agg(CASE WHEN random() < 0.9 THEN '\x01'::bytea ELSE '\x02' END) AS fingerprints,
           array_agg('mixed' || floor(random() * 2)::int) AS stores,
           array_agg('r' || floor(random() * 4)::int) AS registers,
           array_agg('cash'::text) AS cash, array_agg(NULL::timestamptz) AS times,
           array_agg(NULL::int8) AS totals, array_agg(NULL::uuid) AS customers,
           array_agg(random() < 0.1) AS offline
      FROM generate_series(1, :size)) s, (
    SELECT array_agg(1 + n % :size ORDER BY n % :size) AS sales,
           array_agg(test_id((1 + floor(random() * 20.1))::int)) AS products,
           array_agg((1 + floor(random() * 3000))::int8) AS quantities, array_agg(0::int8) AS discounts
      FROM generate_series(1, 3 * :size) n) l,
    record_sales(ids, scopes, keys, fingerprints, stores, registers, cash, times, cash, totals,
                 customers, totals, offline, sales, products, quantities, discounts, '{}', '{}', '{}', '{}', 'EUR', true, 'UTC', 0);
SQL
    bench 12 60 "$work/s.sql" &&
        expect "SELECT string_agg(DISTINCT verdict, ' ' ORDER BY verdict) FROM outcome WHERE store = 'mixed'" \
            'idempotency-mismatch insufficient-stock recorded replayed unknown-product' &&
        expect "SELECT count(*) FROM outcome WHERE store = 'mixed' AND verdict = 'recorded'" \
            "$(sql -c "SELECT count(*) FROM transactions WHERE store_id LIKE 'mixed_'")"
}

# Somebody begins to count a product while a batch waits for the stock of another one, and one of the
# batch's sales is refused: what was not counted when the stock was locked is not taken from.
test_counted_meanwhile() {
    sql >"$work/other" 2>&1 <<'SQL' &
SET statement_timeout = '20s';
BEGIN;
UPDATE inventory SET stock_milli = 2000 WHERE store_id = 'begun' AND product_id = test_id(6);
INSERT INTO inventory (store_id, product_id, stock_milli) VALUES ('begun', test_id(5), 500000);
INSERT INTO inventory_movements (store_id, product_id, quantity_milli, kind, principal)
VALUES ('begun', test_id(6), 2000 - 1000000, 'count', 'test'), ('begun', test_id(5), 500000, 'count', 'test');
SELECT pg_advisory_xact_lock(20261128);
DO $$ BEGIN
    WHILE NOT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND transactionid = pg_current_xact_id()::xid) LOOP
        PERFORM pg_sleep(0.005);
    END LOOP;
END $$;
COMMIT;
SQL
    sql <<'SQL' || return 1
SET statement_timeout = '20s';
DO $$ BEGIN
    WHILE NOT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND objid = 20261128) LOOP
        PERFORM pg_sleep(0.005);
    END LOOP;
END $$;
INSERT INTO outcome
SELECT 'begun', verdict, sale_index::text
  FROM record_sales(ARRAY[test_id(81), test_id(82)], ARRAY['user', 'user'], ARRAY['begun 1', 'begun 2'],
    ARRAY['\x01', '\x01']::bytea[], ARRAY['begun', 'begun'], ARRAY['r1', 'r1'], ARRAY['c', 'c'],
    ARRAY[NULL, NULL]::timestamptz[], ARRAY['cash', 'cash'], ARRAY[NULL, NULL]::int8[], ARRAY[NULL, NULL]::uuid[],
    ARRAY[NULL, NULL]::int8[], ARRAY[NULL, NULL]::bool[], ARRAY[1, 1, 2],
    ARRAY[test_id(5), test_id(6), test_id(6)], ARRAY[1000, 1000, 5000]::int8[], ARRAY[0, 0, 0]::int8[],
    '{}', '{}', '{}', '{}', 'EUR', true, 'UTC', 0);
SQL
    wait $! || { cat "$work/other"; return 1; }
    expect "SELECT string_agg(verdict, ' ' ORDER BY answer) FROM outcome WHERE store = 'begun'" \
        'recorded insufficient-stock' &&
        expect "SELECT string_agg(stock_milli::text, ' ' ORDER BY product_id) FROM inventory
                WHERE store_id = 'begun'" '500000 1000'
}

test_invariants() {
    expect "SELECT count(*) FROM inventory i WHERE stock_milli <> (SELECT sum(quantity_milli)
            FROM inventory_movements m WHERE m.store_id = i.store_id AND m.product_id = i.product_id)" 0 &&
        expect "SELECT count(*) FROM inventory WHERE stock_milli < 0" 0 &&
        # Gapless: as many as the highest, all different, and the counter stands at the highest.
        expect "SELECT count(*) FROM (SELECT store_id, register_id FROM transactions JOIN registers
                USING (store_id, register_id) GROUP BY store_id, register_id, last_receipt
                HAVING count(*) <> max(receipt_number) OR count(DISTINCT receipt_number) <> count(*)
                    OR max(receipt_number) <> last_receipt) gaps" 0 &&
        expect "SELECT count(*) FROM registers r WHERE NOT EXISTS (SELECT FROM transactions t
                WHERE t.store_id = r.store_id AND t.register_id = r.register_id)" 0 &&
        expect "SELECT count(*) FROM idempotency_keys FULL JOIN transactions USING (transaction_id)
                WHERE key IS NULL OR store_id IS NULL" 0 &&
        expect "SELECT count(*) FROM outbox FULL JOIN transactions t ON t.transaction_id = reference
                WHERE event_id IS NULL OR t.transaction_id IS NULL" 0 &&
        expect "SELECT count(*) FROM recorded_sales s WHERE total_minor <> (SELECT sum(n) FROM unnest(item_totals_minor) n)
                OR total_minor + change_minor <> (SELECT sum(n) FROM unnest(payment_amounts_minor) n)" 0
}

for file in "$here"/*.sql; do
    name=$(basename "$file" .sql)
    [ "$name" = helpers ] && continue
    [ -z "$only" ] || [ "$name" = "$only" ] || continue
    sql -f "$work/prepare.sql" -c BEGIN -f "$here/helpers.sql" -f "$file" -c ROLLBACK >"$work/out" 2>&1
    report "$name" $?
done

sql >"$work/out" 2>&1 <<'SQL' || { cat "$work/out"; exit 1; }
CREATE TABLE outcome (store text, verdict text, answer text);
CREATE FUNCTION test_id(n int) RETURNS uuid LANGUAGE sql IMMUTABLE AS
$$ SELECT ('00000000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid $$;
INSERT INTO products (product_id, name, price_minor, tax_rate_micro)
SELECT test_id(n), 'Product ' || n, 99 + 10 * n, 50000 * (n % 4) FROM generate_series(1, 20) n;
INSERT INTO inventory (store_id, product_id, stock_milli)
SELECT store, test_id(n), CASE WHEN store = 'last' THEN 1000 ELSE 1000000 END
  FROM unnest(ARRAY['last', 'same', 'sameid', 'cross', 'mixed0', 'mixed1']) store, generate_series(1, 18) n
UNION ALL SELECT 'begun', test_id(6), 1000000;
UPDATE inventory SET stock_milli = 10000 WHERE store_id LIKE 'mixed_' AND product_id < test_id(4);
INSERT INTO inventory_movements (store_id, product_id, quantity_milli, kind, principal)
SELECT store_id, product_id, stock_milli, 'count', 'test' FROM inventory;
SQL
[ -n "$only" ] || for name in last_item same_key same_id crossing_baskets crossing_keys crossing_batches counted_meanwhile \
    invariants; do
    "test_$name" >"$work/out" 2>&1
    report "concurrent: $name" $?
done

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
