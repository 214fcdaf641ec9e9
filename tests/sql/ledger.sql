-- SPDX-License-Identifier: Apache-2.0
-- Stock, movements, receipts and outbox agree with what was sold.
DO $$
BEGIN
    PERFORM pg_temp.sell('[{"id": 100, "lines": [[1, 1000], [1, 2500], [6, 1000]]},
        {"id": 101, "register": "r2", "lines": [[2, 333]]}, {"id": 102, "lines": [[77, 1000]]},
        {"id": 103, "lines": [[1, 500]]}]');
    PERFORM pg_temp.sell('[{"id": 104, "lines": [[1, 1000]]}]');
    PERFORM pg_temp.sell('[{"id": 105, "store": "east", "lines": [[1, 1000]]}]');

    PERFORM pg_temp.equal('stock', (SELECT stock_milli FROM inventory WHERE product_id = pg_temp.id(1)),
                       95000::bigint);
    PERFORM pg_temp.equal('ledger', (SELECT count(*) FROM inventory i WHERE stock_milli <> (
        SELECT sum(quantity_milli) FROM inventory_movements m
         WHERE m.store_id = i.store_id AND m.product_id = i.product_id)), 0::bigint);
    -- Not tracked: product 6 anywhere, product 1 in the east. It sells, and moves nothing.
    PERFORM pg_temp.equal('untracked', (SELECT count(*) FROM inventory_movements
        WHERE product_id = pg_temp.id(6) OR store_id = 'east'), 0::bigint);
    PERFORM pg_temp.equal('references', (SELECT count(*) FROM inventory_movements m
        JOIN transactions t ON t.transaction_id = m.reference AND t.cashier_id = m.principal
        WHERE m.kind = 'sale'), 5::bigint);
    PERFORM pg_temp.equal('receipts', (SELECT string_agg(store_id || register_id || receipt_number, ' '
        ORDER BY transaction_id) FROM transactions), 'mainr11 mainr21 mainr12 mainr13 eastr11');
    PERFORM pg_temp.equal('outbox', (SELECT array_agg(reference ORDER BY reference) FROM outbox
        WHERE kind = 'transaction.recorded'),
        (SELECT array_agg(transaction_id ORDER BY transaction_id) FROM transactions));
    PERFORM pg_temp.equal('outbox writer', (SELECT bool_and(xid = pg_current_xact_id()) FROM outbox), true);
END $$;
