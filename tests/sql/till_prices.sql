-- SPDX-License-Identifier: Apache-2.0
-- What was sold offline is recorded at the till's prices and rates, deleted products too; where the
-- catalogue says otherwise it is an exception. Of a sale at the counter nobody's prices but the catalogue's
-- are known here (handlers/sale.c sends none).
DO $$
BEGIN
    -- Coffee 3.00 and 20 %, stamp 0.95 and none, 8 withdrawn at 1.00. The last is refused and the batch
    -- judged: that way, too, the till's prices hold.
    PERFORM pg_temp.equal('as sold', (SELECT string_agg(concat_ws(' ', verdict, price_exception, item_unit_prices_minor,
        item_tax_rates_micro, item_totals_minor), '; ' ORDER BY sale_index) FROM pg_temp.sell('[
            {"id": 101, "offline": true, "expect": 594, "lines": [[1, 2000, 0, 270, 100000]]},
            {"id": 102, "offline": true, "lines": [[1, 1000, 0, 300, 200000], [3, 1000]]},
            {"id": 103, "offline": true, "lines": [[3, 1000], [8, 1000]]},
            {"id": 104, "offline": true, "lines": [[8, 1000, 0, 90]]},
            {"id": 105, "offline": true, "lines": [[3, 1000, 0, 95, 70000]]}]')),
        'recorded t {270} {100000} {594}; recorded f {300,95} {200000,0} {360,95}; recorded t {95,100} {0,0} {95,100}; '
        'recorded t {90} {0} {90}; recorded t {95} {70000} {102}');
    PERFORM pg_temp.equal('one refused', pg_temp.verdicts('[
            {"id": 111, "offline": true, "lines": [[1, 1000, 0, 270]], "expect": 324},
            {"id": 112, "offline": true, "lines": [[1, 1000, 0, 270]], "expect": 360},
            {"id": 113, "lines": [[8, 1000]]}, {"id": 114, "offline": true, "lines": [[99, 1000, 0, 100, 0]]},
            {"id": 115, "offline": true, "lines": [[1, 1000, 0, 999999999999999, 0], [1, 1, 0, 999999999999999, 0]]}]'),
        'recorded recorded unknown-product/0 unknown-product/0 amount-out-of-range');
    PERFORM pg_temp.equal('again', (SELECT verdict || price_exception FROM pg_temp.sell('[
            {"id": 111, "offline": true, "lines": [[1, 1000, 0, 270]], "expect": 324}]')), 'replayedtrue');
    -- A basket's discount is spread by the till's prices: 1.00 of 5.00 and 15.00.
    PERFORM pg_temp.equal('spread', (SELECT concat_ws(' ', verdict, item_discounts_minor, total_minor) FROM pg_temp.sell('[
            {"id": 121, "offline": true, "discount": 100, "lines": [[3, 1000, 0, 500], [3, 1000, 0, 1500]]}]')),
        'recorded {25,75} 1900');
    PERFORM pg_temp.equal('too large', pg_temp.verdicts('[
            {"id": 122, "offline": true, "discount": 100, "lines": [[1, 1000, 0, 99]]}]'), 'discount-too-large');
    BEGIN
        UPDATE transactions SET price_exception = false;
        RAISE 'a price exception was taken back';
    EXCEPTION WHEN OTHERS THEN
        PERFORM pg_temp.equal('immutable', SQLERRM NOT LIKE 'a price%', true);
    END;
END $$;
