-- SPDX-License-Identifier: Apache-2.0
-- A basket's discount is spread over its lines: in proportion, half-even, what is missing to the
-- largest; to the unit, and the same each time.
CREATE FUNCTION pg_temp.half_even(x numeric) RETURNS numeric LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN x - floor(x) = 0.5 THEN 2 * round(floor(x) / 2 + 0.25) ELSE round(x) END
$$;
CREATE FUNCTION pg_temp.shares(sale text) RETURNS text LANGUAGE sql AS $$
    SELECT verdict || coalesce('/' || refused_line, '') || coalesce(' ' || array_to_string(item_discounts_minor, ',')
           || ' ' || discount_total_minor || ' ' || basket_discount_minor || ' ' || total_minor, '')
      FROM pg_temp.sell(format('[%s]', sale)::jsonb)
$$;
DO $$
DECLARE
    bad record;
BEGIN
    PERFORM pg_temp.equal('halves', array(SELECT div_half_even(n, 2) FROM generate_series(0, 7) n),
                          '{0,0,1,2,2,2,3,4}'::bigint[]);
    PERFORM pg_temp.equal('thirds', array(SELECT div_half_even(n, 3) FROM generate_series(0, 6) n),
                          '{0,0,1,1,1,2,2}'::bigint[]);
    PERFORM pg_temp.equal('big', div_half_even(999999999999999::numeric * 999999999999999, 999999999999999),
                          999999999999999);

    -- 95 x 1, 2, 3: of 100 come 16.67, 33.33, 50.
    PERFORM pg_temp.equal('in proportion', pg_temp.shares('{"id": 101, "discount": 100,
        "lines": [[3, 1000], [3, 2000], [3, 3000]]}'), 'recorded 17,33,50 100 100 470');
    -- Three equal lines, 1 unit: 0.33 each is 0; the first of the largest has it.
    PERFORM pg_temp.equal('one unit', pg_temp.shares('{"id": 102, "discount": 1,
        "lines": [[3, 1000], [3, 1000], [3, 1000]]}'), 'recorded 1,0,0 1 1 284');
    -- 2 units: 0.67 each is 1, one too many: the first of the largest gives it back.
    PERFORM pg_temp.equal('two units', pg_temp.shares('{"id": 103, "discount": 2,
        "lines": [[3, 1000], [3, 1000], [3, 1000]]}'), 'recorded 0,1,1 2 2 283');
    -- Beside the lines' own discounts, and by what is left after them.
    PERFORM pg_temp.equal('lines too', pg_temp.shares('{"id": 104, "discount": 10,
        "lines": [[3, 1000, 95], [3, 1000, 5], [3, 1000]]}'), 'recorded 95,10,5 110 10 175');
    PERFORM pg_temp.equal('all of it', pg_temp.shares('{"id": 105, "discount": 285,
        "lines": [[3, 1000], [3, 2000]]}'), 'recorded 95,190 285 285 0');
    PERFORM pg_temp.equal('more', pg_temp.shares('{"id": 106, "discount": 286,
        "lines": [[3, 1000], [3, 2000]]}'), 'discount-too-large');
    PERFORM pg_temp.equal('negative', pg_temp.shares('{"id": 106, "discount": -1, "lines": [[3, 1000]]}'),
        'discount-too-large');
    PERFORM pg_temp.equal('nothing', pg_temp.shares('{"id": 107, "discount": 0, "lines": [[3, 1000]]}'),
        'recorded 0 0 0 95');
    PERFORM pg_temp.equal('another fault', pg_temp.shares('{"id": 108, "discount": 5,
        "lines": [[3, 1000], [77, 1000]]}'), 'unknown-product/1');
    -- Tax is of what is left: 300 - 30 at 20 % in the price.
    PERFORM pg_temp.equal('tax', (SELECT tax_total_minor FROM pg_temp.sell('[{"id": 109, "discount": 30,
        "lines": [[1, 1000]]}]', true)), 45::bigint);
    -- Beside neighbours with and without one, and a refused one.
    PERFORM pg_temp.equal('batch', (SELECT string_agg(verdict || coalesce(total_minor::text, ''), ' ' ORDER BY sale_index)
        FROM pg_temp.sell('[{"id": 110, "lines": [[3, 1000]]}, {"id": 111, "discount": 5, "lines": [[3, 1000]]},
            {"id": 112, "discount": 500, "lines": [[3, 1000]]}, {"id": 113, "discount": 6, "customer": 900,
             "lines": [[3, 1000], [3, 1000]]}]')), 'recorded95 recorded90 discount-too-large recorded184');
    PERFORM pg_temp.equal('customer', (SELECT customer_id FROM transactions WHERE transaction_id = pg_temp.id(113)),
                          pg_temp.id(900));

    -- At random: the sum is the discount, no line pays back, and no share is a unit or more off.
    PERFORM setseed(0.5);
    UPDATE inventory SET stock_milli = 1000000000000;
    FOR batch IN 1 .. 20 LOOP
        PERFORM pg_temp.sell(
            (SELECT jsonb_agg(jsonb_build_object(
                 'id', batch * 1000 + n, 'register', 'r' || n % 5, 'discount', floor(random() * 60)::int,
                 'lines', (SELECT jsonb_agg(jsonb_build_array(
                               1 + floor(random() * 5)::int, 1 + floor(random() * 3000)::int))
                             FROM generate_series(1, 1 + (n + batch) % 7) line)))
               FROM generate_series(1, 50) n), batch % 2 = 0);
    END LOOP;
    SELECT * INTO bad FROM (
        SELECT i.*, t.basket_discount_minor, t.subtotal_minor, t.discount_total_minor,
               pg_temp.half_even(unit_price_minor * quantity_milli / 1000.0) AS gross
          FROM transaction_items i JOIN transactions t USING (transaction_id)
         WHERE transaction_id >= pg_temp.id(1001)) line
     WHERE discount_minor > gross OR discount_minor < 0 OR discount_total_minor <> basket_discount_minor
        OR abs(discount_minor - gross * basket_discount_minor / nullif(subtotal_minor, 0)) > 1.5 LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'share: %', bad;
    END IF;
    SELECT * INTO bad FROM transactions t WHERE discount_total_minor <>
        (SELECT sum(discount_minor) FROM transaction_items i WHERE i.transaction_id = t.transaction_id) LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'sum: %', bad;
    END IF;
    PERFORM pg_temp.equal('many', (SELECT count(*) > 900 FROM transactions), true);
END $$;
