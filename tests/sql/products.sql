-- SPDX-License-Identifier: Apache-2.0
-- The product statements: put, patch, delete, get, lookup, and the list's filters and pages. What the
-- changes do is in catalogue.sql.
CREATE FUNCTION pg_temp.pattern(q text) RETURNS text LANGUAGE sql AS $$
    SELECT '%' || replace(replace(replace(q, '\', '\\'), '%', '\%'), '_', '\_') || '%'
$$;
CREATE FUNCTION pg_temp.list(category text, q text, since timestamptz, after uuid, page int)
RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    v_row   record;
    v_names text[];
BEGIN
    FOR v_row IN EXECUTE CASE
        WHEN since IS NOT NULL THEN format('EXECUTE product_sync(%L, %L, %L, %L, NULL, %L, %L)', category, q,
                                           pg_temp.pattern(q), since, after, page)
        WHEN q IS NOT NULL THEN format('EXECUTE product_search(%L, %L, %L, %L, %L)', category, q,
                                       pg_temp.pattern(q), after, page)
        ELSE format('EXECUTE product_list(%L, %L, %L)', category, after, page) END
    LOOP
        v_names := v_names || v_row.name;
    END LOOP;
    RETURN coalesce(array_to_string(v_names, ','), '');
END $$;
CREATE FUNCTION pg_temp.put(nth int, name text, price int8, description text, category text, image text,
                            sku text, barcode text, tax_rate int) RETURNS record LANGUAGE plpgsql AS $$
DECLARE
    v_row record;
BEGIN
    EXECUTE format('EXECUTE product_put(''boss'', NULL, false, ARRAY[%L::uuid], ''{f}'', ARRAY[%L], ARRAY[%L::int8],
                    ARRAY[%L], ARRAY[%L], ARRAY[%L], ARRAY[%L], ARRAY[%L], ARRAY[%L::int])', pg_temp.id(nth), name,
                   price, description, category, image, sku, barcode, tax_rate) INTO v_row;
    RETURN v_row;
END $$;
UPDATE products SET deleted_at = now();
DO $$
DECLARE
    v_row  record;
    v_case record;
BEGIN
    v_row := pg_temp.put(101, '100% Juice', 250, 'd', 'drinks', 'i.png', 'JU_1', '590001', 200000);
    PERFORM pg_temp.equal('created', v_row.verdict || v_row.name || v_row.price_minor || v_row.tax_rate_micro
                       || v_row.version || v_row.sku, 'created100% Juice2502000001JU_1');
    PERFORM pg_temp.equal('times', v_row.created_at = now() AND v_row.updated_at > now(), true);
    PERFORM pg_temp.put(102, 'Juice light', 200, NULL, 'drinks', NULL, NULL, NULL, 0);
    PERFORM pg_temp.put(103, 'Bread', 200, NULL, 'food', NULL, 'JUX1', NULL, 0);
    PERFORM pg_temp.put(104, 'Loose', 200, NULL, NULL, NULL, NULL, NULL, 0);
    EXECUTE format('EXECUTE product_patch(''boss'', ''{1}'', %L, 2, NULL, 190, NULL, NULL, NULL, NULL, NULL, 0)',
                   pg_temp.id(104)) INTO v_row;
    PERFORM pg_temp.equal('patched', v_row.verdict || v_row.price_minor || v_row.version, 'updated1902');

    FOR v_case IN SELECT * FROM (VALUES
        ('JU_1', 101), ('590001', 101), ('JUX1', 103), ('nothing', NULL), ('', NULL)) AS v (code, wanted)
    LOOP
        EXECUTE format('EXECUTE product_lookup(ARRAY[%L])', v_case.code) INTO v_row;
        PERFORM pg_temp.equal('lookup', v_row.product_id, pg_temp.id(v_case.wanted));
    END LOOP;
    -- One's sku is another's barcode: what a scanner reads is the barcode.
    PERFORM pg_temp.put(105, 'Both', 1, NULL, NULL, NULL, '590001', 'JU_1', 0);
    EXECUTE 'EXECUTE product_lookup(ARRAY[''590001''])' INTO v_row;
    PERFORM pg_temp.equal('barcode before sku', v_row.product_id, pg_temp.id(101));
    EXECUTE format('EXECUTE product_delete(''boss'', NULL, %L)', pg_temp.id(105)) INTO v_row;
    PERFORM pg_temp.equal('deleted', v_row.verdict, 'deleted');

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
    EXECUTE format('EXECUTE product_get(ARRAY[%L]::uuid[])', pg_temp.id(101)) INTO v_row;
    PERFORM pg_temp.equal('deleted', v_row.product_id, NULL);
    PERFORM pg_temp.equal('left out', pg_temp.list('drinks', NULL, NULL, NULL, 10), 'Juice light');
    PERFORM pg_temp.put(109, 'Juice', 1, NULL, NULL, NULL, 'JU_1', '590001', 0);
    EXECUTE format('EXECUTE product_get(ARRAY[%L]::uuid[])', pg_temp.id(109)) INTO v_row;
    PERFORM pg_temp.equal('get', v_row.sku, 'JU_1');
END $$;
