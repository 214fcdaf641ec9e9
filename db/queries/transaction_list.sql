-- SPDX-License-Identifier: Apache-2.0
-- lane: slow
-- kind: read
-- A page of sales, the newest business day first and of a day the newest id, with the columns of
-- transaction_get.
-- $1 text store_id, or NULL for every store
-- $2 text first business date, or NULL
-- $3 text last business date, or NULL
-- $4 text cashier_id, or NULL
-- $5 text status, or NULL
-- $6 text payment_method, or NULL
-- $7 uuid the last transaction_id of the page before, or NULL
-- $8 int4 limit
-- $9 text exception: stock, price, amount or any; or NULL
--
-- transaction_page (db/migrations/0023) finds them, by an index for each way to ask, store by store.
SELECT s.transaction_id, s.recorded_at, s.sold_at, s.business_date, s.store_id, s.register_id,
       s.cashier_id, s.currency, s.prices_include_tax, s.subtotal_minor, s.discount_total_minor,
       s.tax_total_minor, s.total_minor, s.change_minor, s.payment_method, s.status,
       s.receipt_number,
       s.item_product_ids, s.item_names, s.item_quantities_milli, s.item_unit_prices_minor,
       s.item_discounts_minor, s.item_tax_rates_micro, s.item_taxes_minor, s.item_totals_minor,
       s.payment_methods, s.payment_amounts_minor, s.payment_references,
       s.customer_id, s.basket_discount_minor, s.sold_offline, s.stock_exception,
       s.item_shortages_milli, s.price_exception, s.amount_exception
  FROM (SELECT transaction_id, business_date
          FROM transaction_page($1::text, coalesce($2::text, '-infinity')::date,
                                coalesce($3::text, 'infinity')::date, $4::text, $5::text, $6::text,
                                $7::uuid, $8::int4, $9::text)
         ORDER BY business_date DESC, transaction_id DESC
         LIMIT $8::int4) page
  JOIN recorded_sales s ON s.transaction_id = page.transaction_id
                       AND ($1::text IS NULL OR s.store_id = $1::text)
 ORDER BY page.business_date DESC, page.transaction_id DESC
