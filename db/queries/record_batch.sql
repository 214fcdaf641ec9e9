-- SPDX-License-Identifier: Apache-2.0
-- lane: write
-- kind: write
-- priority: sale
-- A till's batch: record_sales as in record_sales.sql, with all its parameters, but not gathered with
-- others' sales and answered in short. One row per sale in input order; its refusal is a row.
-- Per sale:
-- $1 uuid[] transaction_id
-- $2 text[] idempotency_scope: the principal's subject
-- $3 text[] idempotency_key: never NULL; the transaction_id's text if the client gave none
-- $4 bytea[] fingerprint
-- $5 text[] store_id
-- $6 text[] register_id
-- $7 text[] cashier_id
-- $8 timestamptz[] sold_at; element NULL: now
-- $9 text[] payment_method; element NULL: taken from the payments ("mixed" if they differ)
-- $10 int8[] expected_total_minor; element NULL: not checked
-- $11 uuid[] customer_id; elements may be NULL; not checked
-- $12 int8[] basket_discount_minor: spread over the lines (0006); element NULL: none
-- $13 bool[] sold_offline: what the stock or the catalogue lacks, and other sums, are exceptions, not refusals
-- Per line, those of one sale in their order:
-- $14 int4[] line_sale: 1-based index into the sales
-- $15 uuid[] line_product
-- $16 int8[] line_quantity_milli
-- $17 int8[] line_discount_minor
-- $18 int8[] line_price_minor: at which the till sold it offline; element NULL: the catalogue's
-- $19 int4[] line_tax_rate_micro: likewise
-- Per payment, may be empty:
-- $20 int4[] payment_sale: 1-based index into the sales
-- $21 text[] payment_methods
-- $22 int8[] payment_amount_minor
-- $23 text[] payment_reference; elements may be NULL
-- For all:
-- $24 text currency
-- $25 bool prices_include_tax
-- $26 text time_zone: an IANA name
-- $27 int4 business_day_start_s: seconds after midnight at which a business day begins
SELECT sale_index, verdict, refused_line, transaction_id, receipt_number, total_minor,
       stock_exception, item_shortages_milli, payment_method, price_exception,
       amount_exception
  FROM record_sales($1::uuid[], $2::text[], $3::text[], $4::bytea[], $5::text[], $6::text[],
                    $7::text[], $8::timestamptz[], $9::text[], $10::int8[], $11::uuid[],
                    $12::int8[], $13::bool[],
                    $14::int4[], $15::uuid[], $16::int8[], $17::int8[],
                    $20::int4[], $21::text[], $22::int8[], $23::text[],
                    $24::text, $25::bool, $26::text, $27::int4,
                    p_line_price_minor => $18::int8[], p_line_tax_rate_micro => $19::int4[])
 ORDER BY sale_index
