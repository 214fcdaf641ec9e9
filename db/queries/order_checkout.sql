-- SPDX-License-Identifier: Apache-2.0
-- lane: write
-- kind: write
-- priority: sale
-- Makes a sale of an open order (db/migrations/0009, 0012): one row, as of record_sales.
-- $1 uuid order_id
-- $2 text store_id the caller may see, or NULL for every store
-- $3 text If-Match, or NULL
-- $4 uuid transaction_id
-- $5 text idempotency_scope: the principal's subject
-- $6 text idempotency_key
-- $7 bytea fingerprint
-- $8 text register_id
-- $9 text cashier_id
-- $10 text payment_method, or NULL: taken from the payments
-- $11 int8 expected_total_minor, or NULL: not checked
-- $12 text[] payment_methods, may be empty
-- $13 int8[] payment_amount_minor
-- $14 text[] payment_reference; elements may be NULL
-- $15 text currency
-- $16 bool prices_include_tax
-- $17 text time_zone: an IANA name
-- $18 int4 business_day_start_s
SELECT sale_index, verdict, refused_line,
       transaction_id, recorded_at, sold_at, business_date, store_id, register_id,
       cashier_id, currency, prices_include_tax, subtotal_minor, discount_total_minor,
       tax_total_minor, total_minor, change_minor, payment_method, status,
       receipt_number,
       item_product_ids, item_names, item_quantities_milli, item_unit_prices_minor,
       item_discounts_minor, item_tax_rates_micro, item_taxes_minor, item_totals_minor,
       payment_methods, payment_amounts_minor, payment_references,
       customer_id, basket_discount_minor, sold_offline, stock_exception, item_shortages_milli,
       false AS price_exception, false AS amount_exception
  FROM checkout_order($1::uuid, $2::text, $3::text, $4::uuid, $5::text, $6::text, $7::bytea, $8::text,
                      $9::text, $10::text, $11::int8, $12::text[], $13::int8[], $14::text[],
                      $15::text, $16::bool, $17::text, $18::int4)
