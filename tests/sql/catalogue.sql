-- SPDX-License-Identifier: Apache-2.0
-- What the catalogue's functions do: whole products, patches, deletions, conditions, the audit; and
-- that updated_at and version are nobody's to choose.
CREATE FUNCTION pg_temp.put(nth int, name text, sku text, barcode text, if_match int8[], is_new bool, by_sku bool)
RETURNS text LANGUAGE sql VOLATILE AS $$
    SELECT concat_ws(' ', p.verdict, (p.product).name, (p.product).version)
      FROM put_products('boss', if_match, is_new, ARRAY[pg_temp.id(nth)], ARRAY[by_sku], ARRAY[name],
                        ARRAY[100::int8], ARRAY[NULL], ARRAY['c'], ARRAY[NULL], ARRAY[sku], ARRAY[barcode],
                        ARRAY[0]) p
$$;
CREATE FUNCTION pg_temp.patch(nth int, fields int, name text, price int8, sku text, if_match int8[])
RETURNS text LANGUAGE sql VOLATILE AS $$
    SELECT concat_ws(' ', p.verdict, (p.product).name, (p.product).price_minor, (p.product).sku, (p.product).version)
      FROM patch_product('boss', if_match, pg_temp.id(nth), fields, name, price, 'd', 'k', 'i', sku, 'b', 7) p
$$;
DO $$
DECLARE
    v_before timestamptz;
    v_text   text;
BEGIN
    -- Put: made, changed, left alone, under conditions.
    PERFORM pg_temp.equal('not there', pg_temp.put(50, 'A', 's1', 'b1', '{-1}', false, false), 'precondition-failed');
    PERFORM pg_temp.equal('made', pg_temp.put(50, 'A', 's1', 'b1', NULL, true, false), 'created A 1');
    PERFORM pg_temp.equal('not new', pg_temp.put(50, 'A', 's1', 'b1', NULL, true, false), 'precondition-failed');
    PERFORM pg_temp.equal('same', pg_temp.put(50, 'A', 's1', 'b1', NULL, false, false), 'unchanged A 1');
    PERFORM pg_temp.equal('changed', pg_temp.put(50, 'B', 's1', 'b1', '{1}', false, false), 'updated B 2');
    PERFORM pg_temp.equal('too late', pg_temp.put(50, 'C', 's1', 'b1', '{1}', false, false), 'precondition-failed');
    PERFORM pg_temp.equal('no tag', pg_temp.put(50, 'C', 's1', 'b1', '{}', false, false), 'precondition-failed');
    PERFORM pg_temp.equal('any of', pg_temp.put(50, 'C', 's1', 'b1', '{9,2}', false, false), 'updated C 3');
    PERFORM pg_temp.equal('by sku', pg_temp.put(51, 'D', 's1', 'b1', NULL, false, true), 'updated D 4');
    PERFORM pg_temp.equal('new sku', pg_temp.put(51, 'E', 's2', 'b2', NULL, false, true), 'created E 1');
    PERFORM pg_temp.equal('sku taken', pg_temp.put(52, 'F', 's1', NULL, NULL, false, false), 'sku');
    PERFORM pg_temp.equal('barcode taken', pg_temp.put(52, 'F', NULL, 'b2', NULL, false, false), 'barcode');
    PERFORM pg_temp.equal('none has none', pg_temp.put(52, 'F', NULL, NULL, NULL, false, true), 'created F 1');

    -- A batch sees what its own items did.
    SELECT string_agg(p.verdict, ' ' ORDER BY p.item) INTO v_text
      FROM put_products('boss', NULL, false, ARRAY[pg_temp.id(60), pg_temp.id(61), pg_temp.id(60)],
        '{f,f,f}', '{a,b,c}', '{1,2,3}', '{NULL,NULL,NULL}', '{NULL,NULL,NULL}', '{NULL,NULL,NULL}', '{x,x,y}',
        '{NULL,NULL,NULL}', '{0,0,0}') p;
    PERFORM pg_temp.equal('batch', v_text, 'created sku updated');

    -- Patch.
    PERFORM pg_temp.equal('nothing', pg_temp.patch(50, 0, NULL, NULL, NULL, NULL), 'unchanged D 100 s1 4');
    PERFORM pg_temp.equal('price', pg_temp.patch(50, 2, 'Z', 5, 'Z', '{4}'), 'updated D 5 s1 5');
    PERFORM pg_temp.equal('remove', pg_temp.patch(50, 33, 'G', 9, NULL, '{-1}'), 'updated G 5 6');
    PERFORM pg_temp.equal('rest', pg_temp.patch(50, 220, NULL, NULL, NULL, NULL), 'updated G 5 7');
    SELECT concat_ws(' ', description, category, image, barcode, tax_rate_micro) INTO v_text
      FROM products WHERE product_id = pg_temp.id(50);
    PERFORM pg_temp.equal('the rest', v_text, 'd k i b 7');
    PERFORM pg_temp.equal('stale', pg_temp.patch(50, 2, NULL, 6, NULL, '{6}'), 'precondition-failed');
    PERFORM pg_temp.equal('taken', pg_temp.patch(50, 32, NULL, NULL, 's2', NULL), 'sku');
    PERFORM pg_temp.equal('nobody', pg_temp.patch(99, 2, NULL, 6, NULL, NULL), 'not-found');

    -- Delete, and again; a put brings it back with a higher version.
    PERFORM pg_temp.equal('stale deletion', delete_product('boss', '{6}', pg_temp.id(50)), 'precondition-failed');
    PERFORM pg_temp.equal('deleted', delete_product('boss', '{7}', pg_temp.id(50)), 'deleted');
    PERFORM pg_temp.equal('repeated', delete_product('boss', '{7}', pg_temp.id(50)), 'deleted');
    PERFORM pg_temp.equal('again', delete_product('boss', NULL, pg_temp.id(50)), 'deleted');
    PERFORM pg_temp.equal('other', delete_product('boss', '{8}', pg_temp.id(50)), 'precondition-failed');
    PERFORM pg_temp.equal('any', delete_product('boss', '{-1}', pg_temp.id(50)), 'precondition-failed');
    PERFORM pg_temp.equal('nobody deleted', delete_product('boss', NULL, pg_temp.id(99)), 'not-found');
    PERFORM pg_temp.equal('patch deleted', pg_temp.patch(50, 2, NULL, 6, NULL, NULL), 'not-found');
    PERFORM pg_temp.equal('match deleted', pg_temp.put(50, 'H', NULL, NULL, '{8}', false, false), 'precondition-failed');
    PERFORM pg_temp.equal('back', pg_temp.put(50, 'H', NULL, NULL, NULL, true, false), 'created H 9');

    -- Every change, and nothing else, is in the audit.
    SELECT string_agg(action || ':' || coalesce(before ->> 'name', '-') || ':' || coalesce(after ->> 'name', '-'),
                      ' ' ORDER BY id) INTO v_text
      FROM audit_log WHERE actor = 'boss' AND entity = 'product' AND entity_id = pg_temp.id(50)::text;
    PERFORM pg_temp.equal('audit', v_text, 'product.create:-:A product.update:A:B product.update:B:C'
        ' product.update:C:D product.update:D:D product.update:D:G product.update:G:G product.delete:G:-'
        ' product.create:-:H');

    -- updated_at only grows, within a transaction too, and even if it was ahead of the clock.
    SELECT max(updated_at) INTO v_before FROM products;
    ALTER TABLE products DISABLE TRIGGER products_change_stamp;
    UPDATE products SET updated_at = v_before + interval '1 day' WHERE product_id = pg_temp.id(51);
    ALTER TABLE products ENABLE TRIGGER products_change_stamp;
    UPDATE products SET updated_at = '2000-01-01', version = 1 WHERE product_id = pg_temp.id(50);
    SELECT (updated_at - v_before)::text || ' ' || version INTO v_text
      FROM products WHERE product_id = pg_temp.id(50);
    PERFORM pg_temp.equal('ahead', v_text, '1 day 00:00:00.000001 10');
END $$;
