-- SPDX-License-Identifier: Apache-2.0
-- Stock by hand: verdicts of movements and levels, what is low, and that the ledger adds up to the
-- levels whatever was refused.
CREATE FUNCTION pg_temp.move(p_key text, p_kind text, p_store text, p_to text, p_lines jsonb,
                             p_any_store bool DEFAULT true) RETURNS text LANGUAGE sql VOLATILE AS $$
    SELECT m.verdict || coalesce('/' || m.refused_line, '') || coalesce(' ' || m.stocks_milli::text, '')
      FROM (SELECT array_agg(pg_temp.id((l ->> 0)::int) ORDER BY n) AS products,
                   array_agg((l ->> 1)::bigint ORDER BY n) AS quantities
              FROM jsonb_array_elements(p_lines) WITH ORDINALITY AS e (l, n)) a,
           move_stock(gen_random_uuid(), 'boss', p_key, convert_to(p_kind || p_lines, 'UTF8'), p_kind,
                      p_store, p_to, p_any_store, NULL, 'boss', a.products, a.quantities) m
$$;
CREATE FUNCTION pg_temp.level(p_product int, p_stock bigint, p_set bool, p_low bigint, p_if_match text)
RETURNS text LANGUAGE sql VOLATILE AS $$
    SELECT concat_ws(' ', verdict, stock_milli, low_stock_at_milli)
      FROM set_stock_level('main', pg_temp.id(p_product), p_stock, p_set, p_low, p_if_match, 'boss')
$$;
CREATE FUNCTION pg_temp.low(p_store text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    v_row   record;
    v_names text[];
BEGIN
    FOR v_row IN EXECUTE format('EXECUTE inventory_list(%L, true, NULL, 10)', p_store) LOOP
        v_names := v_names || v_row.name;
    END LOOP;
    RETURN array_to_string(v_names, ',');
END $$;
DO $$
DECLARE
    v_before text;
    v_tag    text;
BEGIN
    PERFORM pg_temp.equal('received', pg_temp.move('1', 'receive', 'main', NULL, '[[1, 500], [6, 1500]]'),
                          'recorded {100500,1500}');
    PERFORM pg_temp.equal('again', pg_temp.move('1', 'receive', 'main', NULL, '[[1, 500], [6, 1500]]'),
                          'replayed {100500,1500}');
    PERFORM pg_temp.equal('counted', pg_temp.move('2', 'count', 'main', NULL, '[[1, 90000], [7, 0]]'),
                          'recorded {90000,0}');
    PERFORM pg_temp.equal('adjusted', pg_temp.move('3', 'adjust', 'main', NULL, '[[1, -1], [2, 5]]'),
                          'recorded {89999,100005}');
    PERFORM pg_temp.equal('sent', pg_temp.move('4', 'transfer', 'main', 'east', '[[2, 5], [1, 9999]]'),
                          'recorded {100000,80000}');
    PERFORM pg_temp.equal('back', pg_temp.move('5', 'transfer', 'east', 'main', '[[1, 9999]]', false),
                          'recorded {0}');

    -- Refused: nothing is left of it, not even the key.
    v_before := pg_temp.footprint() || (SELECT count(*) FROM inventory) || (SELECT count(*) FROM audit_log);
    PERFORM pg_temp.equal('mismatch', pg_temp.move('1', 'receive', 'main', NULL, '[[1, 501]]'),
                          'idempotency-mismatch');
    PERFORM pg_temp.equal('short', pg_temp.move('6', 'transfer', 'main', 'west', '[[1, 1], [2, 100001]]'),
                          'insufficient-stock/1');
    PERFORM pg_temp.equal('never counted', pg_temp.move('6', 'transfer', 'west', 'main', '[[3, 1]]'),
                          'insufficient-stock/0');
    PERFORM pg_temp.equal('below zero', pg_temp.move('6', 'adjust', 'main', NULL, '[[3, 1], [9, -1001]]'),
                          'insufficient-stock/1');
    PERFORM pg_temp.equal('unknown', pg_temp.move('6', 'count', 'main', NULL, '[[1, 1], [77, 1]]'),
                          'unknown-product/1');
    PERFORM pg_temp.equal('withdrawn', pg_temp.move('6', 'receive', 'main', NULL, '[[8, 1]]'),
                          'unknown-product/0');
    PERFORM pg_temp.equal('twice', pg_temp.move('6', 'count', 'main', NULL, '[[1, 1], [2, 1], [1, 1]]'),
                          'duplicate-product/2');
    PERFORM pg_temp.equal('no such store', pg_temp.move('6', 'transfer', 'main', 'mian', '[[1, 1]]', false),
                          'unknown-store');
    PERFORM pg_temp.equal('too much', pg_temp.move('6', 'receive', 'main', NULL, '[[1, 999999999999999]]'),
                          'amount-out-of-range/0');
    PERFORM pg_temp.equal('too much there', pg_temp.move('6', 'transfer', 'main', 'east', '[[1, 999999999999999]]'),
                          'insufficient-stock/0');
    PERFORM pg_temp.equal('left', pg_temp.footprint() || (SELECT count(*) FROM inventory)
                          || (SELECT count(*) FROM audit_log), v_before);
    PERFORM pg_temp.equal('key is free', pg_temp.move('6', 'count', 'main', NULL, '[[9, 1000]]'),
                          'recorded {1000}');

    -- Levels, and their tags.
    PERFORM pg_temp.equal('unknown', pg_temp.level(8, 1, false, NULL, NULL), 'unknown-product');
    PERFORM pg_temp.equal('mark only', pg_temp.level(7, NULL, true, 5, NULL), 'written 0 5');
    UPDATE products SET deleted_at = NULL WHERE product_id = pg_temp.id(8);
    PERFORM pg_temp.equal('no stock', pg_temp.level(8, NULL, true, 5, NULL), 'stock-required');
    PERFORM pg_temp.equal('not there', pg_temp.level(8, 5, false, NULL, '*'), 'precondition-failed');
    PERFORM pg_temp.equal('made', pg_temp.level(8, 5, false, NULL, NULL), 'created 5');
    SELECT tag INTO v_tag FROM inventory_levels WHERE store_id = 'main' AND product_id = pg_temp.id(8);
    PERFORM pg_temp.equal('weak', pg_temp.level(8, 6, false, NULL, format('W/"%s"', v_tag)),
                          'precondition-failed');
    PERFORM pg_temp.equal('listed', pg_temp.level(8, 6, true, 6, format('"x" ,"%s-gzip"', v_tag)), 'written 6 6');
    PERFORM pg_temp.equal('stale', pg_temp.level(8, 7, false, NULL, format('"%s"', v_tag)), 'precondition-failed');

    -- Low is who is at the mark or below it, as soon as a sale has taken it there.
    PERFORM pg_temp.equal('low', pg_temp.low('main'), 'Planet,Withdrawn');
    PERFORM pg_temp.level(9, NULL, true, 0, NULL);
    PERFORM pg_temp.sell('[{"id": 100, "lines": [[9, 1000], [1, 1000]]}]');
    PERFORM pg_temp.equal('sold', pg_temp.low('main'), 'Planet,Withdrawn,Last one');
    PERFORM pg_temp.move('7', 'receive', 'main', NULL, '[[9, 1], [8, 10]]');
    UPDATE products SET deleted_at = now() WHERE product_id = pg_temp.id(7);
    PERFORM pg_temp.equal('received', pg_temp.low('main'), NULL);
    PERFORM pg_temp.equal('elsewhere', pg_temp.low('east'), NULL);
    PERFORM pg_temp.equal('the same by hand',
        (SELECT array_agg((store_id, product_id)::text ORDER BY product_id) FROM low_stock),
        (SELECT array_agg((store_id, product_id)::text ORDER BY product_id) FROM inventory
          WHERE stock_milli <= low_stock_at_milli));

    PERFORM pg_temp.equal('ledger', (SELECT count(*) FROM inventory i WHERE stock_milli <> (
        SELECT coalesce(sum(quantity_milli), 0) FROM inventory_movements m
         WHERE m.store_id = i.store_id AND m.product_id = i.product_id)), 0::bigint);
    PERFORM pg_temp.equal('audit', (SELECT string_agg(action, ' ' ORDER BY id) FROM audit_log
        WHERE entity NOT IN ('product', 'transaction')), 'stock.receive stock.count stock.adjust stock.transfer stock.transfer'
        ' stock.count stock.level stock.level stock.level stock.level stock.receive');
END $$;
