-- SPDX-License-Identifier: Apache-2.0
-- The product statements: create and its conflicts, get, and the list's filters and pages.
CREATE FUNCTION pg_temp.list(category text, q text, since timestamptz, after uuid, page int)
RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    v_row   record;
    v_names text[];
BEGIN
    FOR v_row IN EXECUTE format('EXECUTE product_list(%L, %L, %L, %L, %L)', category, q, since, after, page)
    LOOP
        v_names := v_names || v_row.name;
    END LOOP;
    RETURN coalesce(array_to_string(v_names, ','), '');
END $$;
UPDATE products SET deleted_at = now();
DO $$
DECLARE
    v_row        record;
    v_constraint text;
    v_case       record;
BEGIN
    EXECUTE format('EXECUTE product_create(%L, ''100%% Juice'', 250, ''d'', ''drinks'', ''i.png'', ''JU_1'',
                    ''590001'', 200000)', pg_temp.id(101)) INTO v_row;
    PERFORM pg_temp.equal('created', v_row.name || v_row.price_minor || v_row.tax_rate_micro || v_row.version
                       || v_row.sku, '100% Juice2502000001JU_1');
    PERFORM pg_temp.equal('times', v_row.created_at = now() AND v_row.updated_at > now(), true);
    EXECUTE format('EXECUTE product_create(%L, ''Juice light'', 200, NULL, ''drinks'', NULL, NULL, NULL, 0)',
                   pg_temp.id(102));
    EXECUTE format('EXECUTE product_create(%L, ''Bread'', 200, NULL, ''food'', NULL, ''JUX1'', NULL, 0)',
                   pg_temp.id(103));
    EXECUTE format('EXECUTE product_create(%L, ''Loose'', 200, NULL, NULL, NULL, NULL, NULL, 0)', pg_temp.id(104));

    FOR v_case IN SELECT * FROM (VALUES
        (101, 'NULL', 'NULL', 'products_pkey'), (109, '''JU_1''', 'NULL', 'products_sku_key'),
        (109, 'NULL', '''590001''', 'products_barcode_key')) AS v (id, sku, barcode, wanted)
    LOOP
        BEGIN
            EXECUTE format('EXECUTE product_create(%L, ''x'', 1, NULL, NULL, NULL, %s, %s, 0)',
                           pg_temp.id(v_case.id), v_case.sku, v_case.barcode);
            RAISE EXCEPTION 'no conflict for %', v_case.wanted;
        EXCEPTION WHEN unique_violation THEN
            GET STACKED DIAGNOSTICS v_constraint = CONSTRAINT_NAME;
            PERFORM pg_temp.equal('constraint', v_constraint, v_case.wanted);
        END;
    END LOOP;

    PERFORM pg_temp.equal('all', pg_temp.list(NULL, NULL, NULL, NULL, 10), '100% Juice,Juice light,Bread,Loose');
    PERFORM pg_temp.equal('category', pg_temp.list('drinks', NULL, NULL, NULL, 10), '100% Juice,Juice light');
    PERFORM pg_temp.equal('page', pg_temp.list(NULL, NULL, NULL, pg_temp.id(101), 2), 'Juice light,Bread');
    PERFORM pg_temp.equal('category page', pg_temp.list('drinks', NULL, NULL, pg_temp.id(101), 2), 'Juice light');
    PERFORM pg_temp.equal('name', pg_temp.list(NULL, 'JUICE', NULL, NULL, 10), '100% Juice,Juice light');
    PERFORM pg_temp.equal('percent is text', pg_temp.list(NULL, '0%', NULL, NULL, 10), '100% Juice');
    PERFORM pg_temp.equal('underscore is text', pg_temp.list(NULL, 'ju_1', NULL, NULL, 10), '100% Juice');
    PERFORM pg_temp.equal('backslash is text', pg_temp.list(NULL, '\', NULL, NULL, 10), '');
    PERFORM pg_temp.equal('barcode', pg_temp.list(NULL, '5900', NULL, NULL, 10), '100% Juice');
    PERFORM pg_temp.equal('since', pg_temp.list(NULL, NULL, now() + interval '1 s', NULL, 10), '');
    PERFORM pg_temp.equal('injection', pg_temp.list(''' OR 1=1 --', NULL, NULL, NULL, 10), '');

    -- A deleted product is gone from every statement, and frees its sku.
    UPDATE products SET deleted_at = now() WHERE product_id = pg_temp.id(101);
    EXECUTE format('EXECUTE product_get(%L)', pg_temp.id(101)) INTO v_row;
    PERFORM pg_temp.equal('deleted', v_row.product_id, NULL);
    PERFORM pg_temp.equal('left out', pg_temp.list('drinks', NULL, NULL, NULL, 10), 'Juice light');
    EXECUTE format('EXECUTE product_create(%L, ''Juice'', 1, NULL, NULL, NULL, ''JU_1'', ''590001'', 0)',
                   pg_temp.id(109));
    EXECUTE format('EXECUTE product_get(%L)', pg_temp.id(109)) INTO v_row;
    PERFORM pg_temp.equal('get', v_row.sku, 'JU_1');
END $$;
