-- SPDX-License-Identifier: Apache-2.0
-- Every refusal, the line it names, and that it leaves nothing behind, alone and among good sales.
DO $$
DECLARE
    v_case   record;
    v_before text;
BEGIN
    PERFORM pg_temp.sell('[{"id": 100, "key": "used", "fp": "a", "lines": [[1, 1000]]}]');
    v_before := pg_temp.footprint();
    FOR v_case IN SELECT * FROM (VALUES
        ('unknown-product/1', '"lines": [[1, 1000], [77, 1000]]'),
        ('unknown-product/0', '"lines": [[8, 1000]]'),
        ('insufficient-stock/1', '"lines": [[1, 1000], [9, 1001]]'),
        ('insufficient-stock/2', '"lines": [[9, 600], [1, 1000], [9, 401]]'),
        ('total-mismatch', '"lines": [[3, 1000]], "expect": 94'),
        ('payment-mismatch', '"lines": [[3, 1000]], "payments": [["cash", 94]]'),
        ('payment-mismatch', '"lines": [[3, 1000]], "payments": [["card", 96]]'),
        ('payment-mismatch', '"lines": [[3, 1000]], "payments": [["card", 50], ["cash", 44]]'),
        ('payment-mismatch', '"lines": [[3, 1000]], "payments": [["card", 96], ["cash", 50]]'),
        ('payment-mismatch', '"lines": [[3, 1000]], "payments": [["card", -5], ["cash", 100]]'),
        ('payment-mismatch', '"lines": [[3, 1000]], "method": null'),
        ('discount-too-large/0', '"lines": [[3, 1000, 96]]'),
        ('discount-too-large/1', '"lines": [[3, 1000, 0], [3, 1000, -1]]'),
        ('amount-out-of-range/0', '"lines": [[7, 1001]]'),
        ('amount-out-of-range/0', '"lines": [[7, 1000000000000]]'),
        ('amount-out-of-range/0', '"lines": [[3, 9223372036854775807]]'),
        ('amount-out-of-range/0', '"lines": [[3, 0]]'),
        ('amount-out-of-range/0', '"lines": [[3, -1000]]'),
        ('amount-out-of-range', '"lines": [[7, 1000], [7, 1000]]'),
        ('amount-out-of-range', '"lines": [[3, 1000]], "payments": [["cash", 9223372036854775807]]'),
        ('amount-out-of-range', '"lines": []'),
        ('idempotency-mismatch', '"key": "used", "fp": "b", "lines": [[1, 1000]]'),
        -- The till's id exists, under another key and for another register.
        ('idempotency-mismatch', '"id": 100, "lines": [[1, 1000]]'),
        ('idempotency-mismatch', '"id": 100, "key": "other", "fp": "a", "lines": [[1, 1000]]')
        ) AS v (wanted, sale)
    LOOP
        PERFORM pg_temp.equal('alone: ' || v_case.sale, pg_temp.verdicts(
            format('[{"id": 101, "register": "new", %s}]', v_case.sale)::jsonb), v_case.wanted);
        PERFORM pg_temp.equal('left behind: ' || v_case.sale, pg_temp.footprint(), v_before);
        BEGIN
            PERFORM pg_temp.equal('between: ' || v_case.sale, pg_temp.verdicts(format(
                '[{"id": 102, "lines": [[1, 1000]]}, {"id": 101, "register": "new", %s},
                  {"id": 103, "lines": [[2, 1000], [9, 1000]]}]', v_case.sale)::jsonb),
                'recorded ' || v_case.wanted || ' recorded');
            PERFORM pg_temp.equal('receipts', (SELECT last_receipt FROM registers), 3::bigint);
            RAISE 'undo' USING ERRCODE = 'P0099';
        EXCEPTION WHEN SQLSTATE 'P0099' THEN NULL;
        END;
    END LOOP;

    -- A refused sale shows no columns of a transaction.
    PERFORM pg_temp.equal('columns', (SELECT num_nulls(transaction_id, store_id, total_minor, item_names,
            payment_methods, status, receipt_number)
        FROM pg_temp.sell('[{"id": 100, "key": "x", "lines": [[1, 2000]]}]')), 7);
    -- The same sale under another key is what was recorded, and that key stays free.
    PERFORM pg_temp.equal('other key', pg_temp.verdicts('[{"id": 100, "key": "x", "lines": [[1, 1000]]}]'), 'replayed');
    PERFORM pg_temp.equal('other key', pg_temp.footprint(), v_before);
    -- A refused key is free again.
    PERFORM pg_temp.equal('again', pg_temp.verdicts('[{"id": 104, "key": "k", "lines": [[9, 2000]]}]'),
                       'insufficient-stock/0');
    PERFORM pg_temp.equal('again', pg_temp.verdicts('[{"id": 105, "key": "k", "fp": "other",
        "lines": [[9, 1000]]}]'), 'recorded');
END $$;
