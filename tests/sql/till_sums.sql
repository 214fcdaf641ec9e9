-- SPDX-License-Identifier: Apache-2.0
-- What was sold offline is not refused because of its sums: recorded with our total and the payments as they
-- were taken, and an exception where they do not go together. At the counter nothing has changed (verdicts).
CREATE FUNCTION pg_temp.sums(p_sales jsonb) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(concat_ws(' ', verdict, total_minor, payment_amounts_minor, change_minor, amount_exception), '; '
                      ORDER BY sale_index) FROM pg_temp.sell(p_sales)
$$;
CREATE FUNCTION pg_temp.back(p_id int, p_sale int, p_milli bigint, p_amount bigint) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    v_said text;
BEGIN
    SELECT r.verdict || coalesce(' ' || r.total_minor, '') INTO v_said
      FROM refund_sale(pg_temp.id(p_id), 'boss', p_id::text, '\x01', pg_temp.id(p_sale), NULL, NULL, false, p_amount,
               ARRAY[0], ARRAY[NULL::uuid], ARRAY[p_milli], ARRAY[true], NULL, NULL, 'UTC', 0) r;
    RETURN v_said || ' ' || (SELECT status FROM transactions WHERE transaction_id = pg_temp.id(p_sale));
END $$;
DO $$
DECLARE
    v_other text := '{"id": 130, "lines": [[8, 1000]]}'; -- refused: the others are judged
    v_sales text;
BEGIN
    -- A stamp is 0.95. Short; more than it costs by card; a total of its own, with payments and without.
    v_sales := '{"id": %s, "offline": true, "lines": [[3, 1000]], "payments": [["card", 94]]},
        {"id": %s, "offline": true, "lines": [[3, 1000]], "payments": [["cash", 40], ["card", 50]], "method": null},
        {"id": %s, "offline": true, "lines": [[3, 1000]], "payments": [["card", 96]]},
        {"id": %s, "offline": true, "lines": [[3, 1000]], "payments": [["card", 96], ["cash", 50]], "method": null},
        {"id": %s, "offline": true, "lines": [[3, 1000]], "expect": 96, "payments": [["card", 96]]},
        {"id": %s, "offline": true, "lines": [[3, 1000]], "expect": 90, "payments": [["cash", 100]]},
        {"id": %s, "offline": true, "lines": [[3, 1000]], "expect": 96},
        {"id": %s, "offline": true, "lines": [[3, 1000]], "expect": 95, "payments": [["cash", 100]]},
        {"id": %s, "offline": true, "lines": [[3, 1000]]}';
    PERFORM pg_temp.equal('as taken', pg_temp.sums(format('[' || v_sales || ']', 101, 102, 103, 104, 105, 106, 107, 108, 109)::jsonb),
        'recorded 95 {94} 0 t; recorded 95 {40,50} 0 t; recorded 95 {96} 0 t; recorded 95 {96,50} 0 t; '
        'recorded 95 {96} 0 t; recorded 95 {100} 10 t; recorded 95 {96} 0 t; recorded 95 {100} 5 f; recorded 95 {95} 0 f');
    PERFORM pg_temp.equal('stored', (SELECT array_agg(amount_exception ORDER BY transaction_id) FROM transactions),
        '{t,t,t,t,t,t,t,f,f}'::bool[]);
    -- Judged, as another of the batch is refused; and again.
    PERFORM pg_temp.equal('judged', pg_temp.sums(format('[' || v_sales || ', ' || v_other || ']',
            111, 112, 113, 114, 115, 116, 117, 118, 119)::jsonb),
        'recorded 95 {94} 0 t; recorded 95 {40,50} 0 t; recorded 95 {96} 0 t; recorded 95 {96,50} 0 t; '
        'recorded 95 {96} 0 t; recorded 95 {100} 10 t; recorded 95 {96} 0 t; recorded 95 {100} 5 f; recorded 95 {95} 0 f; '
        'unknown-product');
    PERFORM pg_temp.equal('again', pg_temp.sums('[{"id": 101, "offline": true, "lines": [[3, 1000]]}]'),
        'replayed 95 {94} 0 t');
    PERFORM pg_temp.equal('sent otherwise', pg_temp.verdicts('[
            {"id": 105, "key": "k", "offline": true, "lines": [[3, 1000]], "expect": 96},
            {"id": 108, "key": "l", "offline": true, "lines": [[3, 1000]], "expect": 96},
            {"id": 105, "key": "m", "offline": true, "lines": [[3, 2000]], "expect": 96}]'),
        'replayed idempotency-mismatch idempotency-mismatch');
    -- Malformed is malformed.
    PERFORM pg_temp.equal('malformed', pg_temp.verdicts('[
            {"id": 121, "offline": true, "lines": [[3, 1000]], "payments": [["card", -5], ["cash", 100]]},
            {"id": 122, "offline": true, "lines": [[3, 1000]], "method": null},
            {"id": 123, "offline": true, "lines": [[3, 1000, 96]]},
            {"id": 124, "offline": true, "discount": 96, "lines": [[3, 1000]]},
            {"id": 125, "offline": true, "lines": [[3, 1000]], "expect": -1},
            {"id": 126, "offline": true, "lines": [[3, 1000]], "payments": [["cash", 1000000000000000]]},
            {"id": 127, "lines": [[3, 1000]], "payments": [["card", 94]]},
            {"id": 128, "offline": false, "lines": [[3, 1000]], "expect": 96}]'),
        'payment-mismatch payment-mismatch discount-too-large/0 discount-too-large total-mismatch amount-out-of-range'
        ' payment-mismatch total-mismatch');
    BEGIN
        UPDATE transactions SET amount_exception = false;
        RAISE EXCEPTION 'an exception was taken back';
    EXCEPTION WHEN restrict_violation THEN NULL;
    END;

    -- Never more back than was taken: 2 of 3 stamps, then the rest of 2.00 that were paid of 2.85.
    PERFORM pg_temp.sell('[{"id": 141, "offline": true, "lines": [[3, 3000]], "payments": [["cash", 200]]},
        {"id": 142, "offline": true, "lines": [[3, 1000]], "payments": [["card", 200]]},
        {"id": 143, "offline": true, "lines": [[3, 2000]], "payments": [["cash", 0]]}]');
    PERFORM pg_temp.equal('too much', pg_temp.back(1, 141, NULL, 201), 'refund-exceeds completed');
    PERFORM pg_temp.equal('two', pg_temp.back(2, 141, 2000, NULL), 'recorded 190 partially_refunded');
    PERFORM pg_temp.equal('the rest', pg_temp.back(3, 141, 500, NULL), 'recorded 10 refunded');
    PERFORM pg_temp.equal('no money left', pg_temp.back(4, 141, NULL, 1), 'refund-exceeds refunded');
    PERFORM pg_temp.equal('goods', pg_temp.back(5, 141, 500, NULL), 'recorded 0 refunded');
    PERFORM pg_temp.equal('our total at most', pg_temp.back(6, 142, NULL, 96), 'refund-exceeds completed');
    PERFORM pg_temp.equal('all', pg_temp.back(7, 142, NULL, 95), 'recorded 95 refunded');
    PERFORM pg_temp.equal('nothing was paid', pg_temp.back(8, 143, 1000, NULL), 'recorded 0 partially_refunded');
END $$;
