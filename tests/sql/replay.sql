-- SPDX-License-Identifier: Apache-2.0
-- A replay is the first answer, to the byte, whatever happened to the catalogue or the sale since.
DO $$
DECLARE
    v_first  record;
    v_again  record;
    v_before text;
    v_sale   jsonb := '[{"id": 100, "key": "k1", "fp": "f", "lines": [[1, 1000, 5], [2, 500]],
                         "at": "2026-03-01T10:00:00.123Z", "payments": [["cash", 9999, "drawer"]]}]';
BEGIN
    SELECT * INTO v_first FROM pg_temp.sell(v_sale);
    UPDATE products SET price_minor = 1, name = 'Renamed';
    UPDATE products SET deleted_at = now() WHERE product_id = pg_temp.id(2);
    UPDATE inventory SET stock_milli = 0;
    UPDATE transactions SET status = 'voided';
    v_before := pg_temp.footprint();

    -- The gateway made a new id for the second attempt; it is not used.
    SELECT * INTO v_again FROM pg_temp.sell(jsonb_set(v_sale, '{0,id}', '200'));
    PERFORM pg_temp.equal('verdict', v_again.verdict, 'replayed');
    PERFORM pg_temp.equal('answer', to_jsonb(v_again) - 'verdict', to_jsonb(v_first) - 'verdict');
    PERFORM pg_temp.equal('nothing written', pg_temp.footprint(), v_before);

    -- Another principal's equal key is another key.
    PERFORM pg_temp.equal('scope', pg_temp.verdicts('[{"id": 300, "scope": "somebody", "key": "k1",
        "fp": "f", "lines": [[6, 1000]]}]'), 'recorded');
END $$;
