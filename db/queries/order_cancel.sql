-- SPDX-License-Identifier: Apache-2.0
-- lane: write
-- kind: write
-- Cancels an open order (db/migrations/0009): one row, the verdict and the columns of order_get.
-- $1 text actor
-- $2 uuid order_id
-- $3 text store_id the caller may see, or NULL for every store
-- $4 text If-Match, or NULL
-- $5 bool prices_include_tax
SELECT verdict, refused_line, (detail).order_id, (detail).store_id, (detail).user_id, (detail).customer_id, (detail).status,
       (detail).is_parked, (detail).label, (detail).note, (detail).discount_minor, (detail).version,
       (detail).transaction_id, (detail).created_at, (detail).updated_at, (detail).item_product_ids,
       (detail).item_names, (detail).item_quantities_milli, (detail).item_discounts_minor,
       (detail).item_unit_prices_minor, (detail).item_tax_rates_micro, (detail).item_taxes_minor,
       (detail).item_totals_minor, (detail).subtotal_minor, (detail).discount_total_minor,
       (detail).tax_total_minor, (detail).total_minor,
       NULL::text AS currency
  FROM cancel_order($1::text, $2::uuid, $3::text, $4::text, $5::bool)
