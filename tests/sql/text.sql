-- SPDX-License-Identifier: Apache-2.0
-- Text is data: what looks like SQL, quotes, right-to-left and four-byte characters come back as given.
DO $$
DECLARE
    v_text text := E'\'; DROP TABLE transactions; -- "$1" \\ %s {a,NULL} \U0001F600 \u05E9\u05DC\u05D5\u05DD';
    s      record;
    t      record;
BEGIN
    UPDATE products SET name = v_text WHERE product_id = pg_temp.id(3);
    SELECT * INTO s FROM pg_temp.sell(jsonb_build_array(jsonb_build_object(
        'id', 100, 'key', v_text, 'scope', v_text, 'store', v_text, 'register', v_text, 'cashier', v_text,
        'method', v_text, 'lines', '[[3, 1000]]'::jsonb,
        'payments', jsonb_build_array(jsonb_build_array(v_text, 95, v_text)))));
    EXECUTE format('EXECUTE transaction_get(%L, %L)', pg_temp.id(100), v_text) INTO t;
    PERFORM pg_temp.equal('same', to_jsonb(t), to_jsonb(s) - 'sale_index' - 'verdict' - 'refused_line');
    PERFORM pg_temp.equal('verbatim', ARRAY[t.store_id, t.register_id, t.cashier_id, t.payment_method,
        t.item_names[1], t.payment_methods[1], t.payment_references[1]], array_fill(v_text, ARRAY[7]));
    PERFORM pg_temp.equal('key', (SELECT scope || key FROM idempotency_keys), v_text || v_text);
END $$;
