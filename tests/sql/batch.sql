-- SPDX-License-Identifier: Apache-2.0
-- Sales of one batch are judged in order and each on its own.
DO $$
DECLARE
    v_rows jsonb;
BEGIN
    -- The same key twice: the second is a replay with the first one's answer; with another
    -- fingerprint it is a mismatch. The same id under two keys likewise.
    SELECT jsonb_agg(to_jsonb(s) - 'verdict' - 'sale_index' ORDER BY sale_index),
           jsonb_agg(s.verdict ORDER BY sale_index) INTO v_rows FROM pg_temp.sell(
        '[{"id": 100, "key": "k", "lines": [[1, 1000]]}, {"id": 101, "key": "k", "lines": [[1, 1000]]}]') s;
    PERFORM pg_temp.equal('same answer', v_rows -> 0, v_rows -> 1);
    PERFORM pg_temp.equal('once', (SELECT count(*) FROM transactions), 1::bigint);
    PERFORM pg_temp.equal('duplicates', pg_temp.verdicts(
        '[{"id": 110, "key": "a", "fp": "s", "lines": [[1, 1000]]}, {"id": 111, "key": "a", "fp": "x", "lines": [[1, 1000]]},
          {"id": 110, "key": "b", "fp": "s", "lines": [[1, 1000]]}, {"id": 112, "key": "a", "fp": "s", "lines": [[77, 1000]]},
          {"id": 113, "key": "k", "lines": [[1, 1000]]}, {"id": 110, "key": "e", "fp": "x", "lines": [[1, 1000]]},
          {"id": 110, "key": "f", "fp": "s", "store": "other", "lines": [[1, 1000]]}]'),
        'recorded idempotency-mismatch replayed replayed replayed idempotency-mismatch idempotency-mismatch');
    PERFORM pg_temp.equal('keys free', (SELECT count(*) FROM idempotency_keys WHERE key IN ('b', 'e', 'f')), 0::bigint);

    -- A refused sale does not consume its key: a later one of the batch may use it.
    PERFORM pg_temp.equal('key freed', pg_temp.verdicts(
        '[{"id": 120, "key": "c", "fp": "1", "lines": [[77, 1000]]}, {"id": 121, "key": "c", "fp": "2", "lines": [[1, 1000]]},
          {"id": 122, "key": "c", "fp": "1", "lines": [[1, 1000]]}, {"id": 123, "key": "c", "fp": "2", "lines": [[1, 1000]]}]'),
        'unknown-product/0 recorded idempotency-mismatch replayed');
    PERFORM pg_temp.equal('key kept', (SELECT transaction_id FROM idempotency_keys WHERE key = 'c'),
                       pg_temp.id(121));
    PERFORM pg_temp.equal('replay later', pg_temp.verdicts(
        '[{"id": 124, "key": "c", "fp": "2", "lines": [[1, 1000]]}]'), 'replayed');
    PERFORM pg_temp.equal('id freed, same key', pg_temp.verdicts(
        '[{"id": 125, "key": "d", "fp": "1", "lines": [[77, 1000]]}, {"id": 125, "key": "d", "fp": "2", "lines": [[1, 1000]]}]'),
        'unknown-product/0 recorded');
    PERFORM pg_temp.equal('fingerprint kept', (SELECT fingerprint FROM idempotency_keys WHERE key = 'd'),
                       '2'::bytea);

    -- Stock runs out in mid-batch; a refused sale gives back what its earlier lines took.
    PERFORM pg_temp.equal('running out', pg_temp.verdicts(
        '[{"id": 130, "lines": [[9, 400]]}, {"id": 131, "lines": [[9, 500], [9, 200]]},
          {"id": 132, "lines": [[9, 600]]}, {"id": 133, "lines": [[9, 1]]}]'),
        'recorded insufficient-stock/1 recorded insufficient-stock/0');
    PERFORM pg_temp.equal('stock', (SELECT stock_milli FROM inventory WHERE product_id = pg_temp.id(9)),
                       0::bigint);

    -- Two stores, two registers, and one sale without lines, in one batch.
    INSERT INTO inventory (store_id, product_id, stock_milli) VALUES ('east', pg_temp.id(9), 1000);
    PERFORM pg_temp.equal('stores', pg_temp.verdicts(
        '[{"id": 140, "lines": [[9, 1000]]}, {"id": 141, "store": "east", "lines": [[9, 1000]]},
          {"id": 142, "store": "east", "register": "r9", "lines": []}]'),
        'insufficient-stock/0 recorded amount-out-of-range');
    PERFORM pg_temp.equal('no trace of r9', (SELECT count(*) FROM registers WHERE register_id = 'r9'),
                       0::bigint);
    PERFORM pg_temp.equal('empty batch', (SELECT count(*) FROM record_sales('{}', '{}', '{}', '{}', '{}',
        '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}',
        'EUR', true, 'UTC', 0)),
        0::bigint);
    BEGIN
        PERFORM record_sales('{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}',
                             '{1}', '{NULL}', '{1000}', '{0}', '{}', '{}', '{}', '{}', 'EUR', true, 'UTC', 0);
        RAISE 'accepted a line without a sale';
    EXCEPTION WHEN invalid_parameter_value THEN NULL;
    END;
END $$;
