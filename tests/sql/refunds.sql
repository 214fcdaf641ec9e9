-- SPDX-License-Identifier: Apache-2.0
-- Refunds and voids: exact over any sequence, restocked once, never more than was paid or sold.
CREATE FUNCTION pg_temp.back(
    p_id int, p_sale int, p_lines jsonb DEFAULT NULL, p_amount bigint DEFAULT NULL, p_void bool DEFAULT false,
    p_key text DEFAULT NULL, p_store text DEFAULT NULL) RETURNS text LANGUAGE sql AS $$
    SELECT r.verdict || coalesce('/' || r.refused_line, '') || coalesce(' ' || r.total_minor || ' ' || r.tax_total_minor, '')
      FROM (SELECT coalesce(array_agg((l ->> 0)::int ORDER BY n), '{}') AS lines,
                   coalesce(array_agg((l ->> 1)::bigint ORDER BY n), '{}') AS quantities,
                   coalesce(array_agg(coalesce((l ->> 2)::bool, true) ORDER BY n), '{}') AS restock,
                   coalesce(array_agg(NULL::uuid), '{}') AS products
              FROM jsonb_array_elements(coalesce(p_lines, '[]')) WITH ORDINALITY AS e (l, n)) a,
           refund_sale(pg_temp.id(p_id), 'boss', CASE WHEN p_void THEN p_key ELSE coalesce(p_key, p_id::text) END,
                       convert_to(concat(p_sale, p_lines, p_amount), 'UTF8'), pg_temp.id(p_sale), p_store, NULL, p_void,
                       p_amount, a.lines, a.products, a.quantities, a.restock, NULL, NULL, 'UTC', 0) r
$$;
CREATE FUNCTION pg_temp.stock(n int) RETURNS bigint LANGUAGE sql AS
$$ SELECT stock_milli FROM inventory WHERE product_id = pg_temp.id(n) AND store_id = 'main' $$;
DO $$
DECLARE
    v_left  bigint;
    v_kind  int;
    v_sql   text;
    bad     record;
BEGIN
    PERFORM pg_temp.equal('shares', spread_amount('{95,190,285}', 100), '{17,33,50}'::bigint[]);
    PERFORM pg_temp.equal('one unit', spread_amount('{95,95,95}', 1), '{1,0,0}'::bigint[]);
    PERFORM pg_temp.equal('two units', spread_amount('{95,95,95}', 2), '{0,1,1}'::bigint[]);
    PERFORM pg_temp.equal('all', spread_amount('{0,1,999999999999998}', 999999999999999), '{0,1,999999999999998}'::bigint[]);

    -- 3 coffees of 3.00 and 20 %: 10.80, tax 1.80; with 2 units off: 8.98 + 1.80.
    PERFORM pg_temp.sell('[{"id": 1, "lines": [[1, 3000, 2], [3, 2000]]}]');
    PERFORM pg_temp.equal('sold', (SELECT total_minor || ' ' || tax_total_minor FROM transactions), '1268 180');
    PERFORM pg_temp.equal('a third', pg_temp.back(11, 1, '[[0, 1000]]'), 'recorded 359 60');
    PERFORM pg_temp.equal('stock', pg_temp.stock(1), 98000::bigint);
    PERFORM pg_temp.equal('again', pg_temp.back(12, 1, '[[0, 1000]]', p_key => '11'), 'replayed 359 60');
    PERFORM pg_temp.equal('other', pg_temp.back(12, 1, '[[0, 2000]]', p_key => '11'), 'idempotency-mismatch');
    PERFORM pg_temp.equal('too many', pg_temp.back(12, 1, '[[1, 1], [0, 2001]]'), 'refund-exceeds/1');
    PERFORM pg_temp.equal('twice in one', pg_temp.back(12, 1, '[[0, 1500], [0, 501]]'), 'refund-exceeds/1');
    PERFORM pg_temp.equal('no such line', pg_temp.back(12, 1, '[[2, 1]]'), 'unknown-line/0');
    PERFORM pg_temp.equal('another store', pg_temp.back(12, 1, '[[0, 1000]]', p_store => 'east'), 'not-found');
    PERFORM pg_temp.equal('none', pg_temp.back(12, 99, '[[0, 1000]]'), 'not-found');
    PERFORM pg_temp.equal('void', pg_temp.back(12, 1, p_void => true), 'transaction-refunded');
    PERFORM pg_temp.equal('too much', pg_temp.back(12, 1, p_amount => 910), 'refund-exceeds');
    PERFORM pg_temp.equal('amount', pg_temp.back(12, 1, p_amount => 100), 'recorded 100 13');
    PERFORM pg_temp.equal('not restocked', pg_temp.back(13, 1, '[[0, 1000, false]]'), 'recorded 320 54');
    PERFORM pg_temp.equal('stock stays', pg_temp.stock(1), 98000::bigint);
    PERFORM pg_temp.equal('partly', (SELECT status FROM transactions), 'partially_refunded');
    PERFORM pg_temp.equal('the rest', pg_temp.back(14, 1, p_amount => 489), 'recorded 489 53');
    PERFORM pg_temp.equal('refunded', (SELECT status FROM transactions), 'refunded');
    PERFORM pg_temp.equal('goods come back later', pg_temp.back(15, 1, '[[0, 1000], [1, 2000]]'), 'recorded 0 0');
    PERFORM pg_temp.equal('stock', pg_temp.stock(1), 99000::bigint);
    PERFORM pg_temp.equal('no more', pg_temp.back(16, 1, '[[0, 1]]'), 'refund-exceeds/0');
    PERFORM pg_temp.equal('sum', (SELECT sum(total_minor) || ' ' || sum(tax_total_minor) FROM refunds), '1268 180');
    PERFORM pg_temp.equal('receipts', (SELECT array_agg(receipt_number ORDER BY refund_id) FROM refunds), '{1,2,3,4,5}'::bigint[]);
    PERFORM pg_temp.equal('audit', (SELECT count(*) FROM audit_log WHERE action = 'transaction.refund'), 5::bigint);
    PERFORM pg_temp.equal('outbox', (SELECT count(*) FROM outbox WHERE kind = 'transaction.refunded'), 5::bigint);

    -- Void: once, whole, today.
    PERFORM pg_temp.sell('[{"id": 2, "lines": [[1, 3000], [6, 1000]]}, {"id": 3, "at": "2020-01-01T00:00:00Z", "lines": [[3, 1000]]}]');
    PERFORM pg_temp.equal('voided', pg_temp.back(21, 2, p_void => true), 'recorded 7080 1180');
    PERFORM pg_temp.equal('as before', pg_temp.stock(1), 99000::bigint);
    PERFORM pg_temp.equal('again', pg_temp.back(22, 2, p_void => true), 'replayed 7080 1180');
    PERFORM pg_temp.equal('under a key', pg_temp.back(22, 2, p_void => true, p_key => 'k'), 'transaction-voided');
    PERFORM pg_temp.equal('no refund', pg_temp.back(22, 2, '[[0, 1000]]'), 'transaction-voided');
    PERFORM pg_temp.equal('too late', pg_temp.back(22, 3, p_void => true), 'void-too-late');
    PERFORM pg_temp.equal('status', (SELECT array_agg(status ORDER BY transaction_id) FROM transactions),
                       '{refunded,voided,completed}'::text[]);
    -- Sold offline beyond the stock. A void undoes the sale, which took one of three; who brings three back
    -- for a refund has brought three.
    PERFORM pg_temp.sell('[{"id": 4, "offline": true, "lines": [[9, 3000]]}]');
    PERFORM pg_temp.equal('short', pg_temp.back(41, 4, p_void => true), 'recorded 300 0');
    PERFORM pg_temp.equal('as it was', pg_temp.stock(9), 1000::bigint);
    PERFORM pg_temp.sell('[{"id": 5, "offline": true, "lines": [[9, 3000]]}]');
    PERFORM pg_temp.equal('brought back', pg_temp.back(42, 5, '[[0, 3000]]'), 'recorded 300 0');
    PERFORM pg_temp.equal('there', pg_temp.stock(9), 3000::bigint);
    PERFORM pg_temp.sell(format('[{"id": 6, "at": "%s", "lines": [[3, 1000]]}]', now() + interval '1 day')::jsonb);
    PERFORM pg_temp.equal('tomorrow', pg_temp.back(43, 6, p_void => true), 'recorded 95 0');
    PERFORM pg_temp.equal('its day', (SELECT r.business_date = t.business_date FROM refunds r
        JOIN transactions t USING (transaction_id) WHERE r.refund_id = pg_temp.id(43)), true);
    PERFORM pg_temp.equal('movements', (SELECT sum(quantity_milli) FROM inventory_movements WHERE product_id = pg_temp.id(9)),
        pg_temp.stock(9)::numeric);
    PERFORM pg_temp.equal('no keys left behind', (SELECT count(*) FROM idempotency_keys WHERE scope = 'boss'), 6::bigint);

    -- Any sequence at random: sums are exact at the end, nothing is ever negative (constraints).
    PERFORM setseed(0.125);
    UPDATE inventory SET stock_milli = 1000000000;
    FOR s IN 1000 .. 1060 LOOP
        PERFORM pg_temp.sell(format('[{"id": %s, "discount": %s, "lines": [[1, %s], [2, %s], [4, %s]]}]', s, s % 37,
            1 + floor(random() * 5000)::int, 1 + floor(random() * 5000)::int, 1 + floor(random() * 5000)::int)::jsonb, s % 2 = 0);
        FOR k IN 1 .. 8 LOOP
            PERFORM pg_temp.back(s * 100 + k, s,
                CASE WHEN k % 3 > 0 THEN jsonb_build_array(jsonb_build_array(floor(random() * 3)::int, 1 + floor(random() * 2500)::int)) END,
                CASE WHEN k % 3 = 0 THEN 1 + floor(random() * 300)::int END);
        END LOOP;
        SELECT sum(l.total_minor) INTO v_left FROM refundable_lines(pg_temp.id(s)) l;
        IF v_left > 0 THEN
            PERFORM pg_temp.equal('more than is left', pg_temp.back(s * 100 + 50, s, p_amount => v_left + 1), 'refund-exceeds');
            IF s % 2 = 0 THEN
                PERFORM pg_temp.back(s * 100 + 51, s, p_amount => v_left);
            END IF;
        END IF;
        PERFORM pg_temp.back(s * 100 + 60, s, (SELECT jsonb_agg(jsonb_build_array(line_no - 1, quantity_milli))
            FROM refundable_lines(pg_temp.id(s)) WHERE quantity_milli > 0));
    END LOOP;
    SELECT * INTO bad FROM transactions t WHERE transaction_id >= pg_temp.id(1000) AND (status <> 'refunded'
        OR (total_minor, tax_total_minor) <> (SELECT sum(total_minor), sum(tax_total_minor) FROM refunds r
                                               WHERE r.transaction_id = t.transaction_id)) LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'not exact: %', bad;
    END IF;
    FOREACH v_sql IN ARRAY ARRAY['UPDATE refunds SET total_minor = 0', 'DELETE FROM refunds',
        'UPDATE refund_items SET tax_minor = 0', 'DELETE FROM refund_items']
    LOOP
        BEGIN
            EXECUTE v_sql;
            RAISE EXCEPTION 'went through: %', v_sql;
        EXCEPTION WHEN restrict_violation THEN NULL;
        END;
    END LOOP;
END $$;
