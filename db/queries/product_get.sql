-- SPDX-License-Identifier: Apache-2.0
-- lane: fast
-- kind: read
-- One product that is not deleted, or no row.
-- $1 uuid product_id
SELECT product_id, name, price_minor, description, category, image, sku, barcode, tax_rate_micro,
       created_at, updated_at, version
  FROM products
 WHERE product_id = $1::uuid AND deleted_at IS NULL
