-- SPDX-License-Identifier: Apache-2.0
-- lane: write
-- kind: write
-- Opens an order (db/migrations/0020): one row, the verdict and the columns of order_get.
-- $1 uuid order_id, or NULL: the client has made none
-- $2 text store_id
-- $3 text user_id: the principal's subject
-- $4 uuid customer_id, or NULL
-- $5 bool is_parked
-- $6 text label, or NULL
-- $7 text note, or NULL
-- $8 int8 discount_minor on the basket, or NULL
-- $9 uuid[] product_id, line by line
-- $10 int8[] quantity_milli
-- $11 int8[] discount_minor
-- $12 bool prices_include_tax
-- $13 text idempotency key, or NULL
-- $14 bytea fingerprint of what is asked for, or NULL
-- $15 uuid order_id if the client has made none
SELECT verdict, refused_line, (detail).order_id, (detail).store_id, (detail).user_id, (detail).customer_id, (detail).status,
       (detail).is_parked, (detail).label, (detail).note, (detail).discount_minor, (detail).version,
       (detail).transaction_id, (detail).created_at, (detail).updated_at, (detail).item_product_ids,
       (detail).item_names, (detail).item_quantities_milli, (detail).item_discounts_minor,
       (detail).item_unit_prices_minor, (detail).item_tax_rates_micro, (detail).item_taxes_minor,
       (detail).item_totals_minor, (detail).subtotal_minor, (detail).discount_total_minor,
       (detail).tax_total_minor, (detail).total_minor,
       NULL::text AS currency
  FROM open_order_once($13::text, $14::bytea, coalesce($1::uuid, $15::uuid), $2::text, $3::text,
                       $4::uuid, $5::bool, $6::text, $7::text, $8::int8, $9::uuid[], $10::int8[],
                       $11::int8[], $12::bool)
