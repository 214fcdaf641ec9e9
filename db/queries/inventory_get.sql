-- SPDX-License-Identifier: Apache-2.0
-- lane: fast
-- kind: read
-- One product's level in a store, or no row when nobody counts it there.
-- $1 text store_id
-- $2 uuid product_id
SELECT store_id, product_id, name, sku, barcode, stock_milli, low_stock_at_milli, updated_at, tag
  FROM inventory_levels
 WHERE store_id = $1::text AND product_id = $2::uuid
