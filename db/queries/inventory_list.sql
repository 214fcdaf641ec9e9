-- SPDX-License-Identifier: Apache-2.0
-- lane: slow
-- kind: read
-- A page of a store's levels in product_id order; with the columns of inventory_get. Low ones only:
-- those whose product is still sold.
-- $1 text store_id
-- $2 bool low ones only
-- $3 uuid the last product_id of the page before, or NULL
-- $4 int4 limit
--
-- Two branches, of which one is always empty, each along the primary key of its table.
(SELECT store_id, product_id, name, sku, barcode, stock_milli, low_stock_at_milli, updated_at, tag
   FROM inventory_levels
  WHERE NOT $2::bool AND store_id = $1::text
    AND product_id > coalesce($3::uuid, '00000000-0000-0000-0000-000000000000'::uuid)
  ORDER BY product_id
  LIMIT $4::int4)
UNION ALL
(SELECT v.store_id, v.product_id, v.name, v.sku, v.barcode, v.stock_milli, v.low_stock_at_milli,
        v.updated_at, v.tag
   FROM low_stock l
   JOIN inventory_levels v ON v.store_id = l.store_id AND v.product_id = l.product_id
  WHERE $2::bool AND l.store_id = $1::text
    AND l.product_id > coalesce($3::uuid, '00000000-0000-0000-0000-000000000000'::uuid)
    AND v.product_deleted_at IS NULL
  ORDER BY l.product_id
  LIMIT $4::int4)
ORDER BY product_id
