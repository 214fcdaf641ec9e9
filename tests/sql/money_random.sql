-- SPDX-License-Identifier: Apache-2.0
-- Random baskets at the money level: what priced_sales says of each line and basket equals the same
-- rules in numeric arithmetic. TILLWAY_BASKETS says how many (20,000 unless given; `make money`: a million).
\getenv baskets TILLWAY_BASKETS
\if :{?baskets}
\else
\set baskets 20000
\endif
SELECT set_config('test.baskets', :'baskets', true);
CREATE FUNCTION pg_temp.half_even(x numeric) RETURNS numeric LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN x - floor(x) = 0.5 THEN 2 * round(floor(x) / 2 + 0.25) ELSE round(x) END
$$;
INSERT INTO products (product_id, name, price_minor, tax_rate_micro)
SELECT pg_temp.id(1000 + n), 'p', floor(10 ^ (n % 10)) + n % 7, (ARRAY[0, 25000, 70000, 190000, 200000, 333333, 1000000])[1 + n % 7]
  FROM generate_series(0, 69) n;
DO $$
DECLARE
    v_size   int := least(10000, current_setting('test.baskets')::int);
    v_done   int := 0;
    v_incl   bool := true;
    v_sale   int[];
    v_prod   uuid[];
    v_milli  bigint[];
    v_disc   bigint[];
    v_bad    record;
    v_none   int[];
BEGIN
    PERFORM setseed(0.75);
    v_none := array_fill(1, ARRAY[v_size]);
    WHILE v_done < current_setting('test.baskets')::int LOOP
        -- One to six lines; every third has a discount of up to all of it.
        SELECT array_agg(s ORDER BY s, l), array_agg(product_id ORDER BY s, l), array_agg(milli ORDER BY s, l),
               array_agg(CASE WHEN (s + l) % 3 = 0 THEN floor(random() * (gross + 1)) ELSE 0 END::bigint ORDER BY s, l)
          INTO v_sale, v_prod, v_milli, v_disc
          FROM (SELECT s, l, p.product_id, milli, pg_temp.half_even(p.price_minor * milli / 1000.0) AS gross
                  FROM (SELECT s, l, pg_temp.id(1000 + floor(random() * 70)::int) AS product_id,
                               1 + floor(random() * 5000)::bigint AS milli
                          FROM generate_series(1, v_size) s, generate_series(1, 1 + (s + v_done) % 6) l OFFSET 0) asked
                  JOIN products p USING (product_id)) line;
        SELECT * INTO v_bad
          FROM priced_sales(array_fill(true, ARRAY[v_size]), array_fill(NULL::bigint, ARRAY[v_size]),
                   array_fill('cash'::text, ARRAY[v_size]), v_sale, v_prod, v_milli, v_disc,
                   v_none, array_fill(0, ARRAY[v_size]), '{}', '{}', '{}', v_incl, NULL) got
          FULL JOIN (
                SELECT sale, sum(gross) AS subtotal, sum(discount) AS discount, sum(tax) AS tax,
                       sum(gross - discount + CASE WHEN v_incl THEN 0 ELSE tax END) AS total,
                       array_agg(tax::bigint ORDER BY nth) AS taxes
                  FROM (SELECT line.*, CASE WHEN v_incl
                                THEN pg_temp.half_even((gross - discount) * rate / (1000000.0 + rate))
                                ELSE pg_temp.half_even((gross - discount) * rate / 1000000.0) END AS tax
                          FROM (SELECT l.sale, l.nth, l.discount, p.tax_rate_micro AS rate,
                                       pg_temp.half_even(p.price_minor * l.milli / 1000.0) AS gross
                                  FROM unnest(v_sale, v_prod, v_milli, v_disc) WITH ORDINALITY
                                       AS l (sale, product_id, milli, discount, nth)
                                  JOIN products p USING (product_id)) line) taxed
                 GROUP BY sale) wanted USING (sale)
         WHERE got.verdict IS NOT NULL OR got.subtotal_minor IS DISTINCT FROM wanted.subtotal
            OR got.discount_total_minor <> wanted.discount OR got.tax_total_minor <> wanted.tax
            OR got.total_minor <> wanted.total OR got.item_taxes_minor <> wanted.taxes
         LIMIT 1;
        IF FOUND THEN
            RAISE EXCEPTION 'basket: %', v_bad;
        END IF;
        v_done := v_done + v_size;
        v_incl := NOT v_incl;
    END LOOP;
END $$;
