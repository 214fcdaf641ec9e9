-- SPDX-License-Identifier: Apache-2.0
-- lane: slow
-- kind: read
-- priority: report
-- How many products that are still sold are low, in each store that has any.
SELECT l.store_id, count(*)
  FROM low_stock l
  JOIN products p ON p.product_id = l.product_id
 WHERE p.deleted_at IS NULL
 GROUP BY l.store_id
