-- SPDX-License-Identifier: Apache-2.0
-- mul_div_half_even: ties go to the even neighbour, and random values agree with numeric arithmetic.
DO $$
DECLARE
    bad record;
BEGIN
    PERFORM pg_temp.equal('0.5', mul_div_half_even(5, 100, 1000), 0::bigint);
    PERFORM pg_temp.equal('1.5', mul_div_half_even(15, 100, 1000), 2::bigint);
    PERFORM pg_temp.equal('2.5', mul_div_half_even(25, 100, 1000), 2::bigint);
    PERFORM pg_temp.equal('3.5', mul_div_half_even(7, 500, 1000), 4::bigint);
    PERFORM pg_temp.equal('2.501', mul_div_half_even(2501, 1, 1000), 3::bigint);
    PERFORM pg_temp.equal('2.499', mul_div_half_even(2499, 1, 1000), 2::bigint);
    PERFORM pg_temp.equal('zero', mul_div_half_even(0, 200000, 1000000), 0::bigint);
    PERFORM pg_temp.equal('odd divisor', mul_div_half_even(100, 70000, 1070000), 7::bigint);
    PERFORM pg_temp.equal('largest', mul_div_half_even(999999999999999, 10000000, 1000000),
                       9999999999999990::bigint);
    PERFORM pg_temp.equal('largest inclusive', mul_div_half_even(999999999999999, 10000000, 11000000),
                       909090909090908::bigint);

    -- Reference: floor(x + 1/2) in numeric, minus one at a tie that would land on an odd number.
    -- Small numbers with divisor 1000 meet many ties.
    PERFORM setseed(0.5);
    SELECT * INTO bad FROM (
        SELECT n, m, d, div(2 * n::numeric * m + d, 2 * d::numeric)
               - CASE WHEN mod(2 * n::numeric * m + d, 2 * d::numeric) = 0
                       AND mod(div(2 * n::numeric * m + d, 2 * d::numeric), 2) = 1 THEN 1 ELSE 0 END
               AS wanted, mul_div_half_even(n, m, d) AS got
          FROM (SELECT floor(random() ^ 4 * 1e15)::bigint AS n, floor(random() * 1000000)::bigint AS m,
                       (ARRAY[1000000, 1200000, 1070000, 1055000])[1 + floor(random() * 4)] AS d
                  FROM generate_series(1, 20000)
                UNION ALL
                SELECT floor(random() * 5000)::bigint, 5 * floor(random() * 1000)::bigint, 1000
                  FROM generate_series(1, 20000)) sample) checked
     WHERE got <> wanted LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'random: %', bad;
    END IF;
END $$;
