-- SPDX-License-Identifier: Apache-2.0
-- lane: slow
-- kind: read
-- A page of a store's orders, newest first, with the columns of order_get.
-- $1 text store_id
-- $2 text status, or NULL for all
-- $3 text user_id, or NULL for all
-- $4 uuid the last order_id of the page before, or NULL; nothing comes after one that is not the store's
-- $5 int4 limit
-- $6 bool prices_include_tax
--
-- Each status is walked along its index, from where the page before ended; the page is the newest of
-- what they give. Two branches, of which one is always empty, for the two indexes.
WITH wanted AS (
    SELECT unnest(CASE WHEN $2::text IS NULL THEN ARRAY['open', 'paid', 'cancelled']
                       ELSE ARRAY[$2::text] END) AS status
), page AS (
    (SELECT o.*
       FROM wanted w CROSS JOIN LATERAL (
            SELECT * FROM orders
             WHERE $3::text IS NULL AND store_id = $1::text AND status = w.status
               AND (created_at, order_id)
                   < (coalesce((SELECT created_at FROM orders
                                 WHERE order_id = $4::uuid AND store_id = $1::text),
                               CASE WHEN $4::uuid IS NULL THEN timestamptz 'infinity' ELSE '-infinity' END),
                      coalesce($4::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid))
             ORDER BY created_at DESC, order_id DESC
             LIMIT $5::int4) o)
    UNION ALL
    (SELECT o.*
       FROM wanted w CROSS JOIN LATERAL (
            SELECT * FROM orders
             WHERE store_id = $1::text AND user_id = $3::text AND status = w.status
               AND (created_at, order_id)
                   < (coalesce((SELECT created_at FROM orders
                                 WHERE order_id = $4::uuid AND store_id = $1::text),
                               CASE WHEN $4::uuid IS NULL THEN timestamptz 'infinity' ELSE '-infinity' END),
                      coalesce($4::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid))
             ORDER BY created_at DESC, order_id DESC
             LIMIT $5::int4) o)
    ORDER BY created_at DESC, order_id DESC
    LIMIT $5::int4
), detailed AS MATERIALIZED (
    SELECT detail_of_order((p.order_id, p.store_id, p.user_id, p.customer_id, p.status, p.is_parked,
                            p.label, p.note, p.discount_minor, p.version, p.transaction_id,
                            p.created_at, p.updated_at)::orders, $6::bool) AS detail
      FROM page p
)
SELECT (detail).order_id, (detail).store_id, (detail).user_id, (detail).customer_id, (detail).status,
       (detail).is_parked, (detail).label, (detail).note, (detail).discount_minor, (detail).version,
       (detail).transaction_id, (detail).created_at, (detail).updated_at, (detail).item_product_ids,
       (detail).item_names, (detail).item_quantities_milli, (detail).item_discounts_minor,
       (detail).item_unit_prices_minor, (detail).item_tax_rates_micro, (detail).item_taxes_minor,
       (detail).item_totals_minor, (detail).subtotal_minor, (detail).discount_total_minor,
       (detail).tax_total_minor, (detail).total_minor,
       (SELECT t.currency FROM transactions t WHERE t.transaction_id = (detail).transaction_id)
  FROM detailed
 ORDER BY (detail).created_at DESC, (detail).order_id DESC
