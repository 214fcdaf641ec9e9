-- SPDX-License-Identifier: Apache-2.0
-- lane: write
-- kind: write
-- Sets a level (db/migrations/0007): one row, the verdict and the columns of inventory_get.
-- $1 text store_id
-- $2 uuid product_id
-- $3 int8 stock_milli, or NULL: as it is
-- $4 bool whether low_stock_at_milli is set
-- $5 int8 low_stock_at_milli, or NULL: never low
-- $6 text If-Match, or NULL
-- $7 text principal
SELECT verdict, store_id, product_id, name, sku, barcode, stock_milli, low_stock_at_milli,
       updated_at, tag
  FROM set_stock_level($1::text, $2::uuid, $3::int8, $4::bool, $5::int8, $6::text, $7::text)
