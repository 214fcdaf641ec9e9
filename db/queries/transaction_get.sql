-- SPDX-License-Identifier: Apache-2.0
-- lane: fast
-- kind: read
-- One sale with its lines and payments as arrays in their order, or no row. record_sales returns
-- the same columns in the same order.
-- $1 uuid transaction_id
-- $2 text store_id the caller may see, or NULL for every store
SELECT t.transaction_id, t.recorded_at, t.sold_at, t.business_date, t.store_id, t.register_id,
       t.cashier_id, t.currency, t.prices_include_tax, t.subtotal_minor, t.discount_total_minor,
       t.tax_total_minor, t.total_minor, t.change_minor, t.payment_method, t.status,
       t.receipt_number,
       i.item_product_ids, i.item_names, i.item_quantities_milli, i.item_unit_prices_minor,
       i.item_discounts_minor, i.item_tax_rates_micro, i.item_taxes_minor, i.item_totals_minor,
       p.payment_methods, p.payment_amounts_minor, p.payment_references
  FROM transactions t
 CROSS JOIN LATERAL (
        -- One index scan for eight arrays; the sorted subquery gives all of them their order.
        SELECT array_agg(product_id) AS item_product_ids, array_agg(name) AS item_names,
               array_agg(quantity_milli) AS item_quantities_milli,
               array_agg(unit_price_minor) AS item_unit_prices_minor,
               array_agg(discount_minor) AS item_discounts_minor,
               array_agg(tax_rate_micro) AS item_tax_rates_micro,
               array_agg(tax_minor) AS item_taxes_minor,
               array_agg(line_total_minor) AS item_totals_minor
          FROM (SELECT * FROM transaction_items WHERE transaction_id = t.transaction_id
                 ORDER BY line_no) line) i
 CROSS JOIN LATERAL (
        SELECT array_agg(method) AS payment_methods, array_agg(amount_minor) AS payment_amounts_minor,
               array_agg(reference) AS payment_references
          FROM (SELECT * FROM payments WHERE transaction_id = t.transaction_id
                 ORDER BY payment_no) payment) p
 WHERE t.transaction_id = $1::uuid AND ($2::text IS NULL OR t.store_id = $2::text)
