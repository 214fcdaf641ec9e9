-- SPDX-License-Identifier: Apache-2.0
-- The least that a server could do for a sale: its row and three lines, in one statement. No look at the
-- catalogue, no stock, no key, no receipt number, no outbox.
-- $1 uuid transaction_id, $2 text register, $3 text cashier, $4 uuid[] products
WITH sale AS (
    INSERT INTO transactions (transaction_id, sold_at, business_date, store_id, register_id, cashier_id,
        currency, prices_include_tax, subtotal_minor, discount_total_minor, tax_total_minor, total_minor,
        change_minor, payment_method, receipt_number)
    VALUES ($1::uuid, now(), current_date, 'main', $2::text, $3::text, 'EUR', true, 750, 0, 0, 750, 0,
        'card', 0))
INSERT INTO transaction_items (transaction_id, line_no, product_id, name, quantity_milli, unit_price_minor,
    discount_minor, tax_rate_micro, tax_minor, line_total_minor)
SELECT $1::uuid, n, id, 'Bread', 1000, 250, 0, 0, 0, 250
  FROM unnest($4::uuid[]) WITH ORDINALITY AS line (id, n)
