-- SPDX-License-Identifier: Apache-2.0
-- Totals to the cent, with tax on top and tax inside, ties included, against figures done by hand.
DO $$
DECLARE
    s record;
BEGIN
    -- Tax on top. 2 coffees 6.00 + 1.20; bread 2.49 - 0.50 = 1.99 + 0.0995 = 0.10;
    -- 1.5 nails: 7.5 -> 8 cents + 0.8 -> 1; half a nail: 2.5 -> 2 cents + 0.2 -> 0.
    SELECT * INTO s FROM pg_temp.sell(
        '[{"id": 100, "lines": [[1, 2000, 0], [2, 1000, 50], [5, 1500, 0], [5, 500, 0]]}]');
    PERFORM pg_temp.equal('verdict', s.verdict, 'recorded');
    PERFORM pg_temp.equal('taxes', s.item_taxes_minor, ARRAY[120, 10, 1, 0]::bigint[]);
    PERFORM pg_temp.equal('line totals', s.item_totals_minor, ARRAY[720, 209, 9, 2]::bigint[]);
    PERFORM pg_temp.equal('discounts', s.item_discounts_minor, ARRAY[0, 50, 0, 0]::bigint[]);
    PERFORM pg_temp.equal('subtotal', s.subtotal_minor, 859::bigint);
    PERFORM pg_temp.equal('discount', s.discount_total_minor, 50::bigint);
    PERFORM pg_temp.equal('tax', s.tax_total_minor, 131::bigint);
    PERFORM pg_temp.equal('total', s.total_minor, 940::bigint);
    PERFORM pg_temp.equal('payment', s.payment_amounts_minor, ARRAY[940]::bigint[]);
    PERFORM pg_temp.equal('names', s.item_names, ARRAY['Coffee', 'Bread', 'Nail', 'Nail']);

    -- Tax inside. Coffee 3.00: 0.50; bread 1.99 / 1.05: 0.09476; cheese 0.333 * 19.90 = 6.6267 -> 6.63,
    -- of which 0.43374.
    SELECT * INTO s FROM pg_temp.sell(
        '[{"id": 101, "lines": [[1, 1000, 0], [2, 1000, 50], [4, 333, 0]]}]', true);
    PERFORM pg_temp.equal('inclusive taxes', s.item_taxes_minor, ARRAY[50, 9, 43]::bigint[]);
    PERFORM pg_temp.equal('inclusive lines', s.item_totals_minor, ARRAY[300, 199, 663]::bigint[]);
    PERFORM pg_temp.equal('inclusive total', s.total_minor, 1162::bigint);
    PERFORM pg_temp.equal('inclusive flag', s.prices_include_tax, true);

    -- Tax at a tie: 5 cents at 10 % = 0.5 -> 0; 15 cents = 1.5 -> 2; 25 cents = 2.5 -> 2.
    SELECT * INTO s FROM pg_temp.sell('[{"id": 102, "lines": [[5, 1000], [5, 3000], [5, 5000]]}]');
    PERFORM pg_temp.equal('ties', s.item_taxes_minor, ARRAY[0, 2, 2]::bigint[]);

    -- A discount of the whole line; a sale of nothing but that is worth nothing.
    SELECT * INTO s FROM pg_temp.sell('[{"id": 103, "lines": [[3, 1000, 95]]}]');
    PERFORM pg_temp.equal('free', s.verdict || s.total_minor || s.tax_total_minor, 'recorded00');

    -- The largest amount there is.
    SELECT * INTO s FROM pg_temp.sell('[{"id": 104, "lines": [[7, 1000]], "store": "moon"}]');
    PERFORM pg_temp.equal('largest', s.total_minor, 999999999999999);
END $$;
