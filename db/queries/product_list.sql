-- SPDX-License-Identifier: Apache-2.0
-- lane: slow
-- kind: read
-- A page of products in product_id order; deleted ones are left out.
-- $1 text category, or NULL for all
-- $2 uuid after product_id, of the page before, or NULL
-- $3 int4 limit
--
-- Two branches, of which one is always empty: a generic plan (this is a prepared statement) then
-- walks the primary key in the one case and (category, product_id) in the other.
(SELECT product_id, name, price_minor, description, category, image, sku, barcode, tax_rate_micro,
        created_at, updated_at, version
   FROM products
  WHERE $1::text IS NULL
    AND product_id > coalesce($2::uuid, '00000000-0000-0000-0000-000000000000'::uuid)
    AND deleted_at IS NULL
  ORDER BY product_id
  LIMIT $3::int4)
UNION ALL
(SELECT product_id, name, price_minor, description, category, image, sku, barcode, tax_rate_micro,
        created_at, updated_at, version
   FROM products
  WHERE category = $1::text
    AND product_id > coalesce($2::uuid, '00000000-0000-0000-0000-000000000000'::uuid)
    AND deleted_at IS NULL
  ORDER BY category, product_id
  LIMIT $3::int4)
ORDER BY product_id
