-- SPDX-License-Identifier: Apache-2.0
-- lane: fast
-- kind: read
-- The product with this barcode, else the one with this sku, or no row.
-- $1 text code
SELECT product_id, name, price_minor, description, category, image, sku, barcode, tax_rate_micro,
       created_at, updated_at, version
  FROM (SELECT 1 AS rank, b.* FROM products b WHERE b.barcode = $1::text AND b.deleted_at IS NULL
        UNION ALL
        SELECT 2, s.* FROM products s WHERE s.sku = $1::text AND s.deleted_at IS NULL) found
 ORDER BY rank
 LIMIT 1
