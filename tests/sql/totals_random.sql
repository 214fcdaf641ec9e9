-- SPDX-License-Identifier: Apache-2.0
-- Random baskets in batches: what is stored equals the same rules written in numeric arithmetic.
CREATE FUNCTION pg_temp.half_even(x numeric) RETURNS numeric LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN x - floor(x) = 0.5 THEN 2 * round(floor(x) / 2 + 0.25) ELSE round(x) END
$$;
DO $$
DECLARE
    bad record;
BEGIN
    PERFORM pg_temp.equal('reference 2.5', pg_temp.half_even(2.5), 2::numeric);
    PERFORM pg_temp.equal('reference 3.5', pg_temp.half_even(3.5), 4::numeric);
    PERFORM setseed(0.25);
    UPDATE inventory SET stock_milli = 1000000000000;
    FOR batch IN 1 .. 40 LOOP
        PERFORM pg_temp.sell(
            (SELECT jsonb_agg(jsonb_build_object(
                 'id', batch * 1000 + n, 'register', 'r' || n % 5,
                 'lines', (SELECT jsonb_agg(jsonb_build_array(
                               1 + floor(random() * 5)::int, 1 + floor(random() * 3000)::int,
                               CASE WHEN (n + line) % 2 = 0 THEN 0 END))
                             FROM generate_series(1, 1 + (n + batch) % 6) line)))
               FROM generate_series(1, 50) n), batch % 2 = 0);
    END LOOP;
    PERFORM pg_temp.equal('sales', (SELECT count(*) FROM transactions), 2000::bigint);

    SELECT * INTO bad FROM (
        SELECT i.*, t.prices_include_tax,
               pg_temp.half_even(unit_price_minor * quantity_milli / 1000.0) - discount_minor AS net
          FROM transaction_items i JOIN transactions t USING (transaction_id)) line
     WHERE CASE WHEN prices_include_tax
                -- Compared crosswise: a quotient would have to be cut off somewhere.
                THEN abs(tax_minor * (1000000 + tax_rate_micro) - net * tax_rate_micro) * 2
                         > 1000000 + tax_rate_micro
                  OR line_total_minor <> net
                ELSE tax_minor <> pg_temp.half_even(net * tax_rate_micro / 1000000.0)
                  OR line_total_minor <> net + tax_minor END
     LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'line: %', bad;
    END IF;
    SELECT * INTO bad FROM transactions t JOIN (
        SELECT transaction_id, sum(tax_minor) AS tax, sum(line_total_minor) AS total,
               sum(discount_minor) AS discount,
               sum(pg_temp.half_even(unit_price_minor * quantity_milli / 1000.0)) AS subtotal
          FROM transaction_items GROUP BY transaction_id) i USING (transaction_id)
     WHERE (tax_total_minor, total_minor, discount_total_minor, subtotal_minor)
           <> (tax, total, discount, subtotal) LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'header: %', bad;
    END IF;
END $$;
