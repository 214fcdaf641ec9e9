-- SPDX-License-Identifier: Apache-2.0
-- lane: fast
-- kind: read
-- One order (type order_detail, db/migrations/0009) and, of a paid one, the sale's currency; or no row.
-- $1 uuid order_id
-- $2 text store_id the caller may see, or NULL for every store
-- $3 bool prices_include_tax
SELECT (detail).order_id, (detail).store_id, (detail).user_id, (detail).customer_id, (detail).status,
       (detail).is_parked, (detail).label, (detail).note, (detail).discount_minor, (detail).version,
       (detail).transaction_id, (detail).created_at, (detail).updated_at, (detail).item_product_ids,
       (detail).item_names, (detail).item_quantities_milli, (detail).item_discounts_minor,
       (detail).item_unit_prices_minor, (detail).item_tax_rates_micro, (detail).item_taxes_minor,
       (detail).item_totals_minor, (detail).subtotal_minor, (detail).discount_total_minor,
       (detail).tax_total_minor, (detail).total_minor,
       (SELECT t.currency FROM transactions t WHERE t.transaction_id = (detail).transaction_id)
  FROM (SELECT detail_of_order(o, $3::bool) AS detail
          FROM orders o
         WHERE order_id = $1::uuid AND ($2::text IS NULL OR store_id = $2::text)
        OFFSET 0) found
