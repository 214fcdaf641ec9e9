-- SPDX-License-Identifier: Apache-2.0
-- lane: fast
-- kind: read
-- gather: rows $1
-- For each code the product with this barcode, else the one with this sku, else a row of NULLs; in the
-- order of the codes.
-- $1 text[] code
SELECT p.product_id, p.name, p.price_minor, p.description, p.category, p.image, p.sku, p.barcode,
       p.tax_rate_micro, p.created_at, p.updated_at, p.version
  FROM unnest($1::text[]) WITH ORDINALITY AS wanted (code, place)
  LEFT JOIN LATERAL (SELECT *
                       FROM (SELECT 1 AS rank, b.* FROM products b
                              WHERE b.barcode = wanted.code AND b.deleted_at IS NULL
                             UNION ALL
                             SELECT 2, s.* FROM products s
                              WHERE s.sku = wanted.code AND s.deleted_at IS NULL) found
                      ORDER BY rank
                      LIMIT 1) p ON true
 ORDER BY wanted.place
