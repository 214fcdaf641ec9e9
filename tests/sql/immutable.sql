-- SPDX-License-Identifier: Apache-2.0
-- What was sold cannot be changed or removed; its status can follow a refund. Nor can what was done;
-- and a product goes by deleted_at alone, so that tills hear of it.
DO $$
DECLARE
    v_sql text;
BEGIN
    PERFORM pg_temp.sell('[{"id": 100, "lines": [[1, 1000]]}]');
    FOREACH v_sql IN ARRAY ARRAY[
        'UPDATE transactions SET total_minor = 0', 'DELETE FROM transactions',
        'UPDATE transactions SET status = ''voided'', receipt_number = 9',
        'UPDATE transaction_items SET name = ''x''', 'DELETE FROM transaction_items',
        'UPDATE payments SET amount_minor = 0', 'DELETE FROM payments',
        'UPDATE inventory_movements SET quantity_milli = 0', 'DELETE FROM inventory_movements',
        'UPDATE audit_log SET actor = ''x''', 'DELETE FROM audit_log', 'TRUNCATE audit_log',
        'DELETE FROM products', 'TRUNCATE products CASCADE']
    LOOP
        BEGIN
            EXECUTE v_sql;
            RAISE EXCEPTION 'went through: %', v_sql;
        EXCEPTION WHEN restrict_violation THEN NULL;
        END;
    END LOOP;
    UPDATE transactions SET status = 'refunded';
    BEGIN
        UPDATE inventory SET stock_milli = -1;
        RAISE EXCEPTION 'negative stock';
    EXCEPTION WHEN check_violation THEN NULL;
    END;
END $$;
