-- SPDX-License-Identifier: Apache-2.0
-- lane: fast
-- kind: read
-- The refunds of a sale, oldest first, with the columns of refund_sale behind its verdict.
-- $1 uuid transaction_id
-- $2 text store_id the caller may see, or NULL for every store
SELECT refund_id, transaction_id, kind, recorded_at, business_date, store_id,
       register_id, cashier_id, reason, currency, tax_total_minor, total_minor, payment_method,
       receipt_number, item_line_nos, item_product_ids, item_names, item_quantities_milli,
       item_taxes_minor, item_totals_minor, item_restocked
  FROM recorded_refunds
 WHERE transaction_id = $1::uuid AND ($2::text IS NULL OR store_id = $2::text)
 ORDER BY recorded_at, refund_id
