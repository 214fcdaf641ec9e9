-- SPDX-License-Identifier: Apache-2.0
-- One product by its id, as an application asks for it: what pgbench and the peers run. The gateway's own
-- statement (db/queries/product_get.sql) answers the reads of one moment at once and is dearer for one.
-- $1 uuid product_id
SELECT product_id, name, price_minor, description, category, image, sku, barcode, tax_rate_micro,
       created_at, updated_at, version
  FROM products
 WHERE product_id = $1::uuid AND deleted_at IS NULL
