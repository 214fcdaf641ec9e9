-- SPDX-License-Identifier: Apache-2.0
-- What every test file starts from: one transaction, a small catalogue, and short words for selling.
-- Everything in pg_temp goes with the session; run.sh rolls the rest back.

CREATE FUNCTION pg_temp.id(n int) RETURNS uuid LANGUAGE sql IMMUTABLE AS
$$ SELECT ('00000000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid $$;

CREATE FUNCTION pg_temp.equal(what text, got anyelement, wanted anyelement) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    IF got IS DISTINCT FROM wanted THEN
        RAISE EXCEPTION '%: got %, wanted %', what, got, wanted;
    END IF;
END $$;

-- Sells a JSON array of sales through the real argument list. A sale: id, key, scope, fp (defaults:
-- made from id), store, register, cashier, at, method (default cash; null: none), expect, customer,
-- discount, offline, lines [[product, milli, discount, till's price, till's tax rate]], payments [[method, minor, reference]].
CREATE FUNCTION pg_temp.sell(p_sales jsonb, p_inclusive bool DEFAULT false, p_zone text DEFAULT 'UTC',
                             p_day_start_s int DEFAULT 0)
RETURNS TABLE (
    sale_index int, verdict text, refused_line int,
    transaction_id uuid, recorded_at timestamptz, sold_at timestamptz, business_date date,
    store_id text, register_id text, cashier_id text, currency text, prices_include_tax bool,
    subtotal_minor bigint, discount_total_minor bigint, tax_total_minor bigint, total_minor bigint,
    change_minor bigint, payment_method text, status text, receipt_number bigint,
    item_product_ids uuid[], item_names text[], item_quantities_milli bigint[],
    item_unit_prices_minor bigint[], item_discounts_minor bigint[], item_tax_rates_micro int[],
    item_taxes_minor bigint[], item_totals_minor bigint[],
    payment_methods text[], payment_amounts_minor bigint[], payment_references text[],
    customer_id uuid, basket_discount_minor bigint, sold_offline bool, stock_exception bool,
    item_shortages_milli bigint[], price_exception bool, amount_exception bool)
LANGUAGE sql AS $$
    WITH sale AS (
        SELECT s, n::int, pg_temp.id((s ->> 'id')::int) AS id
          FROM jsonb_array_elements(p_sales) WITH ORDINALITY AS e (s, n)
    ), per_sale AS (
        SELECT array_agg(id ORDER BY n) AS ids,
               array_agg(coalesce(s ->> 'scope', 'user') ORDER BY n) AS scopes,
               array_agg(coalesce(s ->> 'key', id::text) ORDER BY n) AS keys,
               array_agg(convert_to(coalesce(s ->> 'fp', s ->> 'key', id::text), 'UTF8') ORDER BY n)
                   AS fps,
               array_agg(coalesce(s ->> 'store', 'main') ORDER BY n) AS stores,
               array_agg(coalesce(s ->> 'register', 'r1') ORDER BY n) AS registers,
               array_agg(coalesce(s ->> 'cashier', 'c1') ORDER BY n) AS cashiers,
               array_agg((s ->> 'at')::timestamptz ORDER BY n) AS ats,
               array_agg(CASE WHEN s ? 'method' THEN s ->> 'method' ELSE 'cash' END ORDER BY n)
                   AS methods,
               array_agg((s ->> 'expect')::bigint ORDER BY n) AS expects,
               array_agg(pg_temp.id((s ->> 'customer')::int) ORDER BY n) AS customers,
               array_agg((s ->> 'discount')::bigint ORDER BY n) AS baskets,
               array_agg((s ->> 'offline')::bool ORDER BY n) AS offlines
          FROM sale
    ), per_line AS (
        SELECT coalesce(array_agg(n ORDER BY n, m), '{}') AS sales,
               array_agg(pg_temp.id((l ->> 0)::int) ORDER BY n, m) AS products,
               array_agg((l ->> 1)::bigint ORDER BY n, m) AS quantities,
               array_agg((l ->> 2)::bigint ORDER BY n, m) AS discounts,
               array_agg((l ->> 3)::bigint ORDER BY n, m) AS prices,
               array_agg((l ->> 4)::int ORDER BY n, m) AS rates
          FROM sale, jsonb_array_elements(s -> 'lines') WITH ORDINALITY AS e (l, m)
    ), per_payment AS (
        SELECT coalesce(array_agg(n ORDER BY n, m), '{}') AS sales,
               coalesce(array_agg(p ->> 0 ORDER BY n, m), '{}') AS methods,
               coalesce(array_agg((p ->> 1)::bigint ORDER BY n, m), '{}') AS amounts,
               coalesce(array_agg(p ->> 2 ORDER BY n, m), '{}') AS refs
          FROM sale, jsonb_array_elements(s -> 'payments') WITH ORDINALITY AS e (p, m)
    )
    SELECT r.* FROM per_sale s, per_line l, per_payment p,
           record_sales(s.ids, s.scopes, s.keys, s.fps, s.stores, s.registers, s.cashiers, s.ats,
                        s.methods, s.expects, s.customers, s.baskets, s.offlines,
                        l.sales, l.products, l.quantities, l.discounts, p.sales, p.methods, p.amounts, p.refs, 'EUR', p_inclusive, p_zone,
                        p_day_start_s, l.prices, l.rates) r
     ORDER BY r.sale_index
$$;

-- The verdicts of a batch, refused lines behind a slash: 'recorded insufficient-stock/1'.
CREATE FUNCTION pg_temp.verdicts(p_sales jsonb) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(verdict || coalesce('/' || refused_line, ''), ' ' ORDER BY sale_index)
      FROM pg_temp.sell(p_sales)
$$;

-- How many rows there are of everything a sale writes.
CREATE FUNCTION pg_temp.footprint() RETURNS text LANGUAGE sql AS $$
    SELECT concat_ws(' ', (SELECT count(*) FROM transactions), (SELECT count(*) FROM transaction_items),
                     (SELECT count(*) FROM payments), (SELECT count(*) FROM inventory_movements),
                     (SELECT count(*) FROM idempotency_keys), (SELECT count(*) FROM outbox),
                     (SELECT coalesce(sum(last_receipt), 0) FROM registers),
                     (SELECT count(*) FROM registers),
                     (SELECT coalesce(sum(stock_milli), 0) FROM inventory))
$$;

-- Products 1 to 9: price in minor units, rate in percent, stock in the store main.
INSERT INTO products (product_id, name, price_minor, tax_rate_micro)
VALUES (pg_temp.id(1), 'Coffee', 300, 200000), (pg_temp.id(2), 'Bread', 249, 50000),
       (pg_temp.id(3), 'Stamp', 95, 0), (pg_temp.id(4), 'Cheese by weight', 1990, 70000),
       (pg_temp.id(5), 'Nail', 5, 100000), (pg_temp.id(6), 'Service', 5000, 200000),
       (pg_temp.id(7), 'Planet', 999999999999999, 0), (pg_temp.id(8), 'Withdrawn', 100, 0),
       (pg_temp.id(9), 'Last one', 100, 0);
UPDATE products SET deleted_at = now() WHERE product_id = pg_temp.id(8);
INSERT INTO inventory (store_id, product_id, stock_milli)
SELECT 'main', pg_temp.id(n), CASE n WHEN 9 THEN 1000 ELSE 100000 END
  FROM unnest(ARRAY[1, 2, 3, 4, 5, 9]) n;
INSERT INTO inventory_movements (store_id, product_id, quantity_milli, kind, principal)
SELECT store_id, product_id, stock_milli, 'count', 'test' FROM inventory;
