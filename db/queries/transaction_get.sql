-- SPDX-License-Identifier: Apache-2.0
-- lane: fast
-- kind: read
-- One sale with its lines and payments as arrays in their order, or no row. record_sales returns
-- the same columns in the same order.
-- $1 uuid transaction_id
-- $2 text store_id the caller may see, or NULL for every store
SELECT transaction_id, recorded_at, sold_at, business_date, store_id, register_id,
       cashier_id, currency, prices_include_tax, subtotal_minor, discount_total_minor,
       tax_total_minor, total_minor, change_minor, payment_method, status,
       receipt_number,
       item_product_ids, item_names, item_quantities_milli, item_unit_prices_minor,
       item_discounts_minor, item_tax_rates_micro, item_taxes_minor, item_totals_minor,
       payment_methods, payment_amounts_minor, payment_references,
       customer_id, basket_discount_minor, sold_offline, stock_exception, item_shortages_milli,
       price_exception, amount_exception
  FROM recorded_sales
 WHERE transaction_id = $1::uuid AND ($2::text IS NULL OR store_id = $2::text)
