-- SPDX-License-Identifier: Apache-2.0
-- What a till sold while it was alone was sold at the prices it knew, and the money has been taken: the
-- sale is recorded at the prices and tax rates that its lines name, and of a product that has been deleted
-- since. Where the catalogue says otherwise by now, the sale is a price_exception, for somebody to look at.
-- Of a sale at the counter the catalogue's prices hold, as before.
--
-- Mended: record_sales spreads the discounts of baskets before it prices and writes. When a product came back
-- into the catalogue between the two, the discount of its basket had not been spread and nobody minded: the
-- sale was recorded with the discount's amount but without the discount.

DROP FUNCTION priced_lines(bool[], int[], uuid[], bigint[], bigint[], bool);
DROP FUNCTION spread_discounts(bool[], bigint[], int[], uuid[], bigint[], bigint[], bool);
DROP FUNCTION priced_sales(
    bool[], bigint[], text[], int[], uuid[], bigint[], bigint[], int[], int[], text[], bigint[],
    text[], bool, bool[]);

-- The lines, sorted by sale and line, at the catalogue's prices of this moment, or, of a sale that was made
-- offline, at those that it names. refusal is the reason for which the line cannot be sold at all; its
-- amounts mean nothing then. is_off_catalogue: the catalogue has another price or tax rate by now, or no
-- longer the product. nth: from 1, through all sales.
--
-- Inlined by the planner, hence STABLE, not STRICT. Each OFFSET 0 keeps the stage below it from being
-- substituted into every place where its columns are used.
CREATE FUNCTION priced_lines(
    p_take bool[], p_line_sale int[], p_line_product uuid[], p_line_quantity_milli bigint[],
    p_line_discount_minor bigint[], p_prices_include_tax bool,
    p_sold_offline bool[] DEFAULT NULL, p_line_price_minor bigint[] DEFAULT NULL,
    p_line_tax_rate_micro int[] DEFAULT NULL)
RETURNS TABLE (
    sale int, line_no bigint, product_id uuid, name text, quantity_milli bigint,
    unit_price_minor bigint, discount_minor bigint, tax_rate_micro int, gross_minor bigint,
    tax_minor bigint, line_total_minor bigint, refusal text, nth bigint, is_off_catalogue bool)
LANGUAGE sql STABLE AS $$
    SELECT sale, line_no, product_id, name, quantity_milli, price_minor, discount_minor,
           tax_rate_micro, gross_minor, tax_minor,
           net_minor + CASE WHEN p_prices_include_tax THEN 0 ELSE tax_minor END,
           CASE WHEN name IS NULL THEN 'unknown-product'
                WHEN gross_minor IS NULL THEN 'amount-out-of-range'
                WHEN net_minor IS NULL THEN 'discount-too-large'
           END,
           nth, is_off_catalogue
      FROM (SELECT taxable.*,
                   CASE WHEN p_prices_include_tax
                        THEN mul_div_half_even(net_minor, tax_rate_micro, 1000000 + tax_rate_micro)
                        ELSE mul_div_half_even(net_minor, tax_rate_micro, 1000000)
                   END AS tax_minor
              FROM (SELECT extended.*,
                           CASE WHEN discount_minor BETWEEN 0 AND gross_minor
                                THEN gross_minor - discount_minor END AS net_minor
                      FROM (SELECT priced.*,
                                   -- The float comparison only has to keep the product below 2^63.
                                   CASE WHEN quantity_milli BETWEEN 1 AND 1000000000000
                                         AND quantity_milli::float8 * price_minor <= 1e18
                                        THEN mul_div_half_even(price_minor, quantity_milli, 1000)
                                   END AS gross_minor
                              FROM (SELECT asked.*, p.name,
                                           coalesce(till_price_minor, p.price_minor) AS price_minor,
                                           coalesce(till_rate_micro, p.tax_rate_micro) AS tax_rate_micro,
                                           p.deleted_at IS NOT NULL
                                           OR coalesce(till_price_minor <> p.price_minor, false)
                                           OR coalesce(till_rate_micro <> p.tax_rate_micro, false)
                                               AS is_off_catalogue
                                      FROM (SELECT l.sale, l.nth, l.product_id, l.quantity_milli,
                                                   coalesce(l.discount_minor, 0) AS discount_minor,
                                                   l.till_price_minor, l.till_rate_micro,
                                                   row_number() OVER (PARTITION BY sale ORDER BY nth)
                                                       AS line_no
                                              FROM unnest(p_line_sale, p_line_product,
                                                          p_line_quantity_milli, p_line_discount_minor,
                                                          p_line_price_minor, p_line_tax_rate_micro)
                                                   WITH ORDINALITY
                                                   AS l (sale, product_id, quantity_milli, discount_minor,
                                                         till_price_minor, till_rate_micro, nth)
                                             WHERE p_take[l.sale]) asked
                                      LEFT JOIN products p
                                             ON p.product_id = asked.product_id
                                            AND (p.deleted_at IS NULL OR p_sold_offline[asked.sale])
                                    OFFSET 0) priced
                            OFFSET 0) extended
                    OFFSET 0) taxable
            OFFSET 0) taxed
$$;

-- The lines' discounts with their shares of the baskets' discounts, in the order of the arguments.
-- A share is in proportion to what the line costs after its own discount, rounded half-even; the
-- units that are then missing or too many are the largest lines', one each, the first of equals.
-- refused[n]: the discount of sale n is more than its lines cost, or was not spread, as one of them cannot
-- be sold.
CREATE FUNCTION spread_discounts(
    p_take bool[], p_basket_discount_minor bigint[], p_line_sale int[], p_line_product uuid[],
    p_line_quantity_milli bigint[], p_line_discount_minor bigint[], p_prices_include_tax bool,
    p_sold_offline bool[] DEFAULT NULL, p_line_price_minor bigint[] DEFAULT NULL,
    p_line_tax_rate_micro int[] DEFAULT NULL,
    OUT discounts bigint[], OUT refused bool[])
LANGUAGE sql STABLE AS $$
    WITH line AS (
        SELECT l.sale, l.line_no, l.gross_minor - l.discount_minor AS net_minor,
               p_basket_discount_minor[l.sale] AS basket_minor,
               sum(l.gross_minor - l.discount_minor) OVER (PARTITION BY l.sale) AS sum_minor,
               bool_or(l.refusal IS NOT NULL) OVER (PARTITION BY l.sale) AS is_refused
          FROM priced_lines(p_take, p_line_sale, p_line_product, p_line_quantity_milli,
                            p_line_discount_minor, p_prices_include_tax, p_sold_offline, p_line_price_minor,
                            p_line_tax_rate_micro) l
         WHERE p_basket_discount_minor[l.sale] <> 0
    ), rounded AS (
        SELECT line.*, div_half_even(net_minor::numeric * basket_minor, sum_minor) AS share_minor
          FROM line WHERE NOT is_refused AND basket_minor BETWEEN 1 AND sum_minor
    ), ranked AS (
        SELECT rounded.*, row_number() OVER (
                   PARTITION BY sale, CASE WHEN missing > 0 THEN share_minor < net_minor
                                           ELSE share_minor > 0 END
                   ORDER BY net_minor DESC, line_no) AS rank
          FROM (SELECT rounded.*,
                       basket_minor - sum(share_minor) OVER (PARTITION BY sale) AS missing
                  FROM rounded) rounded
    ), share AS (
        SELECT sale, line_no, share_minor
               + CASE WHEN rank <= abs(missing)
                       AND CASE WHEN missing > 0 THEN share_minor < net_minor
                                ELSE share_minor > 0 END
                      THEN sign(missing) ELSE 0 END AS share_minor
          FROM ranked
    )
    SELECT (SELECT array_agg((coalesce(l.discount_minor, 0) + coalesce(s.share_minor, 0))::bigint
                             ORDER BY l.nth)
              FROM (SELECT l.*, row_number() OVER (PARTITION BY sale ORDER BY nth) AS line_no
                      FROM unnest(p_line_sale, p_line_discount_minor) WITH ORDINALITY
                           AS l (sale, discount_minor, nth)) l
              LEFT JOIN share s ON s.sale = l.sale AND s.line_no = l.line_no),
           (SELECT array_agg(coalesce(b.refused, false) ORDER BY n)
              FROM generate_series(1, cardinality(p_take)) n
              LEFT JOIN (SELECT DISTINCT sale, is_refused OR basket_minor NOT BETWEEN 1 AND sum_minor AS refused
                           FROM line) b ON b.sale = n)
$$;

-- The sales with their totals. verdict is NULL for a sale that may be recorded as far as prices,
-- totals and payments go; idempotency and stock are not looked at. A sale without lines has no row.
CREATE FUNCTION priced_sales(
    p_take bool[], p_expected_total_minor bigint[], p_sale_payment_method text[],
    p_line_sale int[], p_line_product uuid[], p_line_quantity_milli bigint[],
    p_line_discount_minor bigint[],
    p_payment_from int[], p_payment_to int[], p_payment_method text[],
    p_payment_amount_minor bigint[], p_payment_reference text[], p_prices_include_tax bool,
    p_basket_refused bool[], p_sold_offline bool[] DEFAULT NULL,
    p_line_price_minor bigint[] DEFAULT NULL, p_line_tax_rate_micro int[] DEFAULT NULL)
RETURNS TABLE (
    sale int, verdict text, refused_line int,
    subtotal_minor bigint, discount_total_minor bigint, tax_total_minor bigint, total_minor bigint,
    change_minor bigint, payment_method text,
    item_product_ids uuid[], item_names text[], item_quantities_milli bigint[],
    item_unit_prices_minor bigint[], item_discounts_minor bigint[], item_tax_rates_micro int[],
    item_taxes_minor bigint[], item_totals_minor bigint[],
    payment_methods text[], payment_amounts_minor bigint[], payment_references text[])
LANGUAGE sql STABLE AS $$
    SELECT sale,
           sale_verdict(refusals[1], subtotal::bigint, total::bigint, paid, paid_otherwise,
                        payments_malformed, methods IS NOT NULL, p_basket_refused[sale],
                        p_expected_total_minor[sale], p_sale_payment_method[sale]),
           refused_no::int - 1,
           subtotal::bigint, discount_total::bigint, tax_total::bigint, total::bigint,
           coalesce(paid - total, 0)::bigint,
           coalesce(p_sale_payment_method[sale], CASE WHEN one_method THEN methods[1] ELSE 'mixed' END),
           product_ids, names, quantities, unit_prices, discounts, rates, taxes, totals,
           coalesce(methods, ARRAY[p_sale_payment_method[sale]]),
           coalesce(amounts, ARRAY[total::bigint]),
           coalesce(payment_refs, ARRAY[NULL::text])
      FROM (SELECT sale, min(line_no) FILTER (WHERE refusal IS NOT NULL) AS refused_no,
                   array_agg(refusal) FILTER (WHERE refusal IS NOT NULL) AS refusals,
                   sum(gross_minor) AS subtotal, sum(discount_minor) AS discount_total,
                   sum(tax_minor) AS tax_total, sum(line_total_minor) AS total,
                   array_agg(product_id) AS product_ids, array_agg(name) AS names,
                   array_agg(quantity_milli) AS quantities,
                   array_agg(unit_price_minor) AS unit_prices,
                   array_agg(discount_minor) AS discounts, array_agg(tax_rate_micro) AS rates,
                   array_agg(tax_minor) AS taxes, array_agg(line_total_minor) AS totals
              FROM (SELECT * FROM priced_lines(p_take, p_line_sale, p_line_product,
                                               p_line_quantity_milli, p_line_discount_minor,
                                               p_prices_include_tax, p_sold_offline, p_line_price_minor,
                                               p_line_tax_rate_micro)
                     ORDER BY sale, line_no) line
             GROUP BY sale) basket
     CROSS JOIN LATERAL tendered(p_payment_from[sale], p_payment_to[sale], p_payment_method,
                                 p_payment_amount_minor, p_payment_reference) tendered
$$;

-- Last, as from here on to the end of this migration nobody reads or sells.
ALTER TABLE transactions ADD COLUMN price_exception bool NOT NULL DEFAULT false;

DROP TRIGGER transactions_immutable ON transactions;
CREATE TRIGGER transactions_immutable BEFORE DELETE OR UPDATE OF
    transaction_id, recorded_at, sold_at, business_date, store_id, register_id, cashier_id, currency,
    prices_include_tax, subtotal_minor, discount_total_minor, tax_total_minor, total_minor,
    change_minor, payment_method, receipt_number, customer_id, basket_discount_minor, sold_offline,
    stock_exception, price_exception ON transactions
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE OR REPLACE VIEW recorded_sales AS
SELECT t.transaction_id, t.recorded_at, t.sold_at, t.business_date, t.store_id, t.register_id,
       t.cashier_id, t.currency, t.prices_include_tax, t.subtotal_minor, t.discount_total_minor,
       t.tax_total_minor, t.total_minor, t.change_minor, t.payment_method, t.status,
       t.receipt_number,
       i.item_product_ids, i.item_names, i.item_quantities_milli, i.item_unit_prices_minor,
       i.item_discounts_minor, i.item_tax_rates_micro, i.item_taxes_minor, i.item_totals_minor,
       p.payment_methods, p.payment_amounts_minor, p.payment_references,
       t.customer_id, t.basket_discount_minor, t.sold_offline, t.stock_exception,
       CASE WHEN t.stock_exception THEN i.item_shortages_milli END AS item_shortages_milli,
       t.price_exception
  FROM transactions t
 CROSS JOIN LATERAL (
        SELECT array_agg(product_id) AS item_product_ids, array_agg(name) AS item_names,
               array_agg(quantity_milli) AS item_quantities_milli,
               array_agg(unit_price_minor) AS item_unit_prices_minor,
               array_agg(discount_minor) AS item_discounts_minor,
               array_agg(tax_rate_micro) AS item_tax_rates_micro,
               array_agg(tax_minor) AS item_taxes_minor,
               array_agg(line_total_minor) AS item_totals_minor,
               array_agg(shortage_milli) AS item_shortages_milli
          FROM (SELECT * FROM transaction_items WHERE transaction_id = t.transaction_id
                 ORDER BY line_no) line) i
 CROSS JOIN LATERAL (
        SELECT array_agg(method) AS payment_methods, array_agg(amount_minor) AS payment_amounts_minor,
               array_agg(reference) AS payment_references
          FROM (SELECT * FROM payments WHERE transaction_id = t.transaction_id
                 ORDER BY payment_no) payment) p;
