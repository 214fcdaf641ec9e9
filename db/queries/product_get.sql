-- SPDX-License-Identifier: Apache-2.0
-- lane: fast
-- kind: read
-- gather: rows $1
-- Products that are not deleted, one row for each id in the order of the ids; without such a product it is
-- a row of NULLs. LIMIT keeps the planner from reading the whole table for a few ids.
-- $1 uuid[] product_id
SELECT p.product_id, p.name, p.price_minor, p.description, p.category, p.image, p.sku, p.barcode,
       p.tax_rate_micro, p.created_at, p.updated_at, p.version
  FROM unnest($1::uuid[]) WITH ORDINALITY AS wanted (product_id, place)
  LEFT JOIN LATERAL (SELECT *
                       FROM products
                      WHERE product_id = wanted.product_id AND deleted_at IS NULL
                      LIMIT 1) p ON true
 ORDER BY wanted.place
