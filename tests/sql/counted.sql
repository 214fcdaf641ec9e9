-- SPDX-License-Identifier: Apache-2.0
-- What was sold offline before the stock was counted is not taken from it again; a void puts nothing back, and
-- who brings the goods back brings them back.
CREATE FUNCTION pg_temp.stock(n int) RETURNS bigint LANGUAGE sql AS
$$ SELECT stock_milli FROM inventory WHERE product_id = pg_temp.id(n) AND store_id = 'main' $$;
CREATE FUNCTION pg_temp.offline(p_id int, p_at timestamptz, p_lines text, p_offline bool DEFAULT true) RETURNS text
LANGUAGE sql AS $$
    SELECT concat_ws(' ', verdict, stock_exception, item_shortages_milli::text) FROM pg_temp.sell(format(
        '[{"id": %s, "offline": %s, "at": "%s", "lines": %s}]', p_id, to_json(p_offline), p_at, p_lines)::jsonb)
$$;
CREATE FUNCTION pg_temp.back(p_id int, p_sale int, p_is_void bool) RETURNS text LANGUAGE sql AS $$
    SELECT r.verdict FROM refund_sale(pg_temp.id(p_id), 'boss', p_id::text, '\x01', pg_temp.id(p_sale), NULL, NULL,
        p_is_void, NULL, ARRAY[0], ARRAY[NULL::uuid], ARRAY[1000::bigint], ARRAY[true], NULL, NULL, 'UTC', 0) r
$$;
DO $$
DECLARE
    v_before timestamptz := now() - interval '1 minute';
    v_after  timestamptz := now() + interval '1 minute';
BEGIN
    -- 1 counted by a movement, 2 by a level; 3 received, 4 adjusted, 5 given a mark: those are no counts.
    PERFORM move_stock(gen_random_uuid(), 'boss', 'a', '\x01', 'count', 'main', NULL, true, NULL, 'boss',
                       ARRAY[pg_temp.id(1)], ARRAY[5000::bigint]);
    PERFORM set_stock_level('main', pg_temp.id(2), 5000, false, NULL, NULL, 'boss');
    PERFORM move_stock(gen_random_uuid(), 'boss', 'b', '\x01', 'receive', 'main', NULL, true, NULL, 'boss',
                       ARRAY[pg_temp.id(3)], ARRAY[1000::bigint]);
    PERFORM move_stock(gen_random_uuid(), 'boss', 'c', '\x01', 'adjust', 'main', NULL, true, NULL, 'boss',
                       ARRAY[pg_temp.id(4)], ARRAY[1000::bigint]);
    PERFORM set_stock_level('main', pg_temp.id(5), NULL, true, 1, NULL, 'boss');
    PERFORM pg_temp.equal('counts', (SELECT array_agg(counted_at IS NOT NULL ORDER BY product_id) FROM inventory
        WHERE product_id <> pg_temp.id(9)), '{t,t,f,f,f}'::bool[]);
    PERFORM pg_temp.equal('late', pg_temp.offline(101, v_before, '[[1, 1000], [3, 1000], [2, 9000]]'), 'recorded f');
    PERFORM pg_temp.equal('stock', ARRAY[pg_temp.stock(1), pg_temp.stock(2), pg_temp.stock(3)], '{5000,5000,100000}'::bigint[]);
    PERFORM pg_temp.equal('no movements', (SELECT array_agg(product_id) FROM inventory_movements
        WHERE reference = pg_temp.id(101)), ARRAY[pg_temp.id(3)]);
    PERFORM pg_temp.equal('not taken', (SELECT array_agg(shortage_milli ORDER BY line_no) FROM transaction_items
        WHERE transaction_id = pg_temp.id(101)), '{1000,0,9000}'::bigint[]);
    PERFORM pg_temp.equal('again', pg_temp.offline(101, v_before, '[[1, 1000], [3, 1000], [2, 9000]]'), 'replayed f');
    PERFORM pg_temp.equal('since', pg_temp.offline(102, v_after, '[[1, 1000]]'), 'recorded f');
    PERFORM pg_temp.equal('taken', pg_temp.stock(1), 4000::bigint);
    -- Beside one that takes; and the stock lacks what was sold since the count only.
    PERFORM pg_temp.equal('both', (SELECT array_agg(verdict || stock_exception ORDER BY sale_index) FROM pg_temp.sell(format('[
        {"id": 103, "offline": true, "at": "%s", "lines": [[1, 3000]]},
        {"id": 104, "offline": true, "at": "%s", "lines": [[1, 3000]]},
        {"id": 105, "offline": true, "at": "%s", "lines": [[1, 3000]]}]', v_before, v_after, v_after)::jsonb)),
        '{recordedfalse,recordedfalse,recordedtrue}'::text[]);
    PERFORM pg_temp.equal('nothing left', pg_temp.stock(1), 0::bigint);
    -- At the counter it is sold now, whatever time is sent with it, and without a time.
    PERFORM pg_temp.equal('counter', pg_temp.offline(106, v_before, '[[1, 1000]]', false), 'insufficient-stock');
    PERFORM pg_temp.equal('counter', pg_temp.offline(107, v_before, '[[2, 1000]]', false), 'recorded f');
    PERFORM pg_temp.equal('taken', pg_temp.stock(2), 4000::bigint);
    PERFORM pg_temp.sell('[{"id": 108, "offline": true, "lines": [[2, 1000]]}]');
    PERFORM pg_temp.equal('now', pg_temp.stock(2), 3000::bigint);

    PERFORM pg_temp.equal('void', pg_temp.back(1, 103, true), 'recorded');
    PERFORM pg_temp.equal('nothing back', pg_temp.stock(1), 0::bigint);
    PERFORM pg_temp.equal('refund', pg_temp.back(2, 101, false), 'recorded');
    PERFORM pg_temp.equal('brought back', pg_temp.stock(1), 1000::bigint);
    PERFORM pg_temp.equal('ledger', (SELECT count(*) FROM inventory i WHERE stock_milli <> (
        SELECT sum(quantity_milli) FROM inventory_movements m
         WHERE m.store_id = i.store_id AND m.product_id = i.product_id)), 0::bigint);
END $$;
