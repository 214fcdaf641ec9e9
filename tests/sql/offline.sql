-- SPDX-License-Identifier: Apache-2.0
-- What was sold offline is recorded although the stock is short: the stock ends at nothing, the
-- movement is what there was, and the line says what was lacking (FAULTS B8).
DO $$
BEGIN
    -- Product 9: one there. Of two sales of one batch the first has it; line by line.
    PERFORM pg_temp.equal('taken', (SELECT string_agg(verdict || stock_exception || coalesce(item_shortages_milli::text, ''),
        ' ' ORDER BY sale_index) FROM pg_temp.sell('[
            {"id": 101, "offline": true, "lines": [[3, 1000], [9, 600], [9, 900]]},
            {"id": 102, "offline": true, "lines": [[9, 250], [6, 1000]]},
            {"id": 103, "lines": [[9, 1]]},
            {"id": 104, "offline": true, "lines": [[3, 1000]]}]') WHERE verdict = 'recorded'),
        'recordedtrue{0,0,500} recordedtrue{250,0} recordedfalse');
    PERFORM pg_temp.equal('refused', pg_temp.verdicts('[{"id": 103, "lines": [[9, 1]]}]'), 'insufficient-stock/0');
    PERFORM pg_temp.equal('stock', (SELECT stock_milli FROM inventory WHERE product_id = pg_temp.id(9)), 0::bigint);
    PERFORM pg_temp.equal('ledger', (SELECT count(*) FROM inventory i WHERE stock_milli <> (
        SELECT sum(quantity_milli) FROM inventory_movements m
         WHERE m.store_id = i.store_id AND m.product_id = i.product_id)), 0::bigint);
    PERFORM pg_temp.equal('movements', (SELECT array_agg(quantity_milli ORDER BY movement_id)
        FROM inventory_movements WHERE product_id = pg_temp.id(9) AND kind = 'sale'), '{-600,-400}'::bigint[]);
    PERFORM pg_temp.equal('lines', (SELECT array_agg(quantity_milli || ':' || shortage_milli ORDER BY transaction_id, line_no)
        FROM transaction_items WHERE product_id = pg_temp.id(9)), '{600:0,900:500,250:250}'::text[]);

    -- Again: recorded as it was, with its exception.
    PERFORM pg_temp.equal('again', (SELECT verdict || item_shortages_milli::text FROM pg_temp.sell('[
            {"id": 101, "offline": true, "lines": [[3, 1000], [9, 600], [9, 900]]}]')), 'replayed{0,0,500}');
    PERFORM pg_temp.equal('once', (SELECT count(*) FROM transactions), 3::bigint);
    -- Offline and nothing short: no exception, on the plain way as well.
    PERFORM pg_temp.equal('plain', (SELECT sold_offline || ' ' || stock_exception FROM pg_temp.sell('[
            {"id": 105, "offline": true, "lines": [[3, 1000]]}]')), 'true false');
    PERFORM pg_temp.equal('online', (SELECT sold_offline || ' ' || stock_exception FROM pg_temp.sell('[
            {"id": 106, "lines": [[3, 1000]]}]')), 'false false');
END $$;
