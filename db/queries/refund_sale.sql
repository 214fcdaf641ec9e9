-- SPDX-License-Identifier: Apache-2.0
-- lane: write
-- kind: write
-- Gives back all of a sale, an amount of it, or lines; one row: the verdict and the refund
-- (db/migrations/0010, 0012). 40P01, 40001: another session was in the way and nothing happened.
-- $1 uuid refund_id
-- $2 text the principal's subject, and the key's scope
-- $3 text idempotency key; NULL for a void without one
-- $4 bytea fingerprint
-- $5 uuid transaction_id
-- $6 text store_id the caller may see, or NULL for every store
-- $7 text register_id, or NULL for the sale's
-- $8 bool void
-- $9 int8 amount_minor, or NULL
-- $10 int4[] line, from 0; element NULL: by product
-- $11 uuid[] line_product; elements may be NULL
-- $12 int8[] line_quantity_milli
-- $13 bool[] line_restock
-- $14 text reason, or NULL
-- $15 text payment_method, or NULL for the sale's
-- $16 text time_zone
-- $17 int4 business_day_start_s
SELECT verdict, refused_line, refund_id, transaction_id, kind, recorded_at, business_date, store_id,
       register_id, cashier_id, reason, currency, tax_total_minor, total_minor, payment_method,
       receipt_number, item_line_nos, item_product_ids, item_names, item_quantities_milli,
       item_taxes_minor, item_totals_minor, item_restocked
  FROM refund_sale($1::uuid, $2::text, $3::text, $4::bytea, $5::uuid, $6::text, $7::text, $8::bool,
                   $9::int8, $10::int4[], $11::uuid[], $12::int8[], $13::bool[], $14::text, $15::text,
                   $16::text, $17::int4)
