-- SPDX-License-Identifier: Apache-2.0
-- lane: slow
-- kind: read
-- A page of products in product_id order; deleted ones are left out. q matches anywhere in the name
-- and at the start of sku or barcode, its wildcards taken literally.
-- $1 text category, or NULL for all
-- $2 text q, or NULL
-- $3 timestamptz updated since (inclusive), or NULL
-- $4 uuid the last product_id of the page before, or NULL
-- $5 int4 limit
--
-- Two branches, of which one is always empty: a generic plan (this is a prepared statement) then
-- walks the primary key in the one case and (category, product_id) in the other.
WITH pattern AS (
    SELECT replace(replace(replace($2::text, '\', '\\'), '%', '\%'), '_', '\_') AS q
)
(SELECT product_id, name, price_minor, description, category, image, sku, barcode, tax_rate_micro,
        created_at, updated_at, version
   FROM products
  WHERE $1::text IS NULL
    AND product_id > coalesce($4::uuid, '00000000-0000-0000-0000-000000000000'::uuid)
    AND deleted_at IS NULL
    AND ($3::timestamptz IS NULL OR updated_at >= $3::timestamptz)
    AND ($2::text IS NULL
         OR name ILIKE '%' || (SELECT q FROM pattern) || '%'
         OR sku ILIKE (SELECT q FROM pattern) || '%'
         OR barcode ILIKE (SELECT q FROM pattern) || '%')
  ORDER BY product_id
  LIMIT $5::int4)
UNION ALL
(SELECT product_id, name, price_minor, description, category, image, sku, barcode, tax_rate_micro,
        created_at, updated_at, version
   FROM products
  WHERE category = $1::text
    AND product_id > coalesce($4::uuid, '00000000-0000-0000-0000-000000000000'::uuid)
    AND deleted_at IS NULL
    AND ($3::timestamptz IS NULL OR updated_at >= $3::timestamptz)
    AND ($2::text IS NULL
         OR name ILIKE '%' || (SELECT q FROM pattern) || '%'
         OR sku ILIKE (SELECT q FROM pattern) || '%'
         OR barcode ILIKE (SELECT q FROM pattern) || '%')
  ORDER BY category, product_id
  LIMIT $5::int4)
ORDER BY product_id
