-- SPDX-License-Identifier: Apache-2.0
-- lane: slow
-- kind: read
-- A page of the products that a person looks for, in product_id order; deleted ones are left out. q
-- matches anywhere in the name and at the start of sku or barcode (db/migrations/0005:
-- product_matches).
-- $1 text category, or NULL for all
-- $2 text q
-- $3 text pattern: q for ILIKE, with % around it and its own wildcards escaped
-- $4 uuid after product_id, of the page before, or NULL
-- $5 int4 limit
--
-- What is common is soon found by walking, what is rare by its trigrams; no plan can know which it
-- will be. So the next 2000 products are looked at, and only if they do not fill the page, all that
-- match are found through the indexes. One or two characters have no trigram: they walk on.
WITH near AS MATERIALIZED (
    SELECT n.*
      FROM ((SELECT * FROM products
              WHERE $1::text IS NULL AND deleted_at IS NULL
                AND product_id > coalesce($4::uuid, '00000000-0000-0000-0000-000000000000'::uuid)
              ORDER BY product_id LIMIT 2000)
            UNION ALL
            (SELECT * FROM products
              WHERE category = $1::text AND deleted_at IS NULL
                AND product_id > coalesce($4::uuid, '00000000-0000-0000-0000-000000000000'::uuid)
              ORDER BY category, product_id LIMIT 2000)) n
     WHERE product_matches(n.name, n.sku, n.barcode, $2::text, $3::text)
     ORDER BY n.product_id
     LIMIT $5::int4
), reached AS MATERIALIZED (
    SELECT count(*) AS n, coalesce(max(product_id::text)::uuid, $4::uuid,
                                   '00000000-0000-0000-0000-000000000000'::uuid) AS product_id
      FROM near
), far AS MATERIALIZED (
    SELECT f.*
      FROM products f
     WHERE (SELECT n FROM reached) < $5::int4 AND char_length($2::text) >= 3
       AND f.deleted_at IS NULL AND product_matches(f.name, f.sku, f.barcode, $2::text, $3::text)
), walked AS MATERIALIZED (
    SELECT w.*
      FROM products w
     WHERE (SELECT n FROM reached) < $5::int4 AND char_length($2::text) < 3
       AND w.product_id > (SELECT product_id FROM reached)
       AND w.deleted_at IS NULL AND product_matches(w.name, w.sku, w.barcode, $2::text, $3::text)
       AND ($1::text IS NULL OR w.category = $1::text)
     ORDER BY w.product_id
     LIMIT $5::int4
)
SELECT product_id, name, price_minor, description, category, image, sku, barcode, tax_rate_micro,
       created_at, updated_at, version
  FROM (SELECT * FROM near
        UNION ALL
        SELECT * FROM far
         WHERE product_id > (SELECT product_id FROM reached)
           AND ($1::text IS NULL OR category = $1::text)
        UNION ALL
        SELECT * FROM walked) p
 ORDER BY product_id
 LIMIT $5::int4
