-- SPDX-License-Identifier: Apache-2.0
-- spread_discounts whole. Mended: record_sales spreads the discounts of baskets before it prices and writes.
-- When a product came back into the catalogue between the two, the discount of its basket had not been
-- spread and nobody minded: the sale was recorded with the discount's amount but without the discount.

-- The lines' discounts with their shares of the baskets' discounts, in the order of the arguments.
-- A share is in proportion to what the line costs after its own discount, rounded half-even; the
-- units that are then missing or too many are the largest lines', one each, the first of equals.
-- refused[n]: the discount of sale n is more than its lines cost, or was not spread, as one of them cannot
-- be sold.
CREATE OR REPLACE FUNCTION spread_discounts(
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
