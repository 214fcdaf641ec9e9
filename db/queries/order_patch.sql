-- SPDX-License-Identifier: Apache-2.0
-- lane: write
-- kind: write
-- Changes an open order (db/migrations/0021): one row, the verdict and the columns of order_get.
-- $1 uuid order_id
-- $2 text store_id the caller may see, or NULL for every store
-- $3 text If-Match, or NULL
-- $4 bool is_parked, or NULL: as it is
-- $5 bool whether customer_id is set
-- $6 uuid customer_id, or NULL
-- $7 bool whether label is set
-- $8 text label, or NULL
-- $9 bool whether note is set
-- $10 text note, or NULL
-- $11 bool whether discount_minor is set
-- $12 int8 discount_minor on the basket, or NULL
-- $13 bool whether the items are replaced
-- $14 uuid[] product_id, line by line
-- $15 int8[] quantity_milli
-- $16 int8[] discount_minor
-- $17 bool prices_include_tax
-- $18 text actor: the principal's subject
SELECT verdict, refused_line, (detail).order_id, (detail).store_id, (detail).user_id, (detail).customer_id, (detail).status,
       (detail).is_parked, (detail).label, (detail).note, (detail).discount_minor, (detail).version,
       (detail).transaction_id, (detail).created_at, (detail).updated_at, (detail).item_product_ids,
       (detail).item_names, (detail).item_quantities_milli, (detail).item_discounts_minor,
       (detail).item_unit_prices_minor, (detail).item_tax_rates_micro, (detail).item_taxes_minor,
       (detail).item_totals_minor, (detail).subtotal_minor, (detail).discount_total_minor,
       (detail).tax_total_minor, (detail).total_minor,
       NULL::text AS currency
  FROM patch_order_as($18::text, $1::uuid, $2::text, $3::text, $4::bool, $5::bool, $6::uuid, $7::bool,
                      $8::text, $9::bool, $10::text, $11::bool, $12::int8, $13::bool, $14::uuid[],
                      $15::int8[], $16::int8[], $17::bool)
