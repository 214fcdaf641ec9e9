-- SPDX-License-Identifier: Apache-2.0
-- Cash gives change, other means do not; several payments; the method of the header.
DO $$
DECLARE
    s record;
BEGIN
    SELECT * INTO s FROM pg_temp.sell('[{"id": 100, "lines": [[3, 1000]], "expect": 95,
        "payments": [["cash", 100]]}]');
    PERFORM pg_temp.equal('change', s.verdict || ' ' || s.change_minor, 'recorded 5');
    PERFORM pg_temp.equal('tendered', s.payment_amounts_minor, ARRAY[100]::bigint[]);

    SELECT * INTO s FROM pg_temp.sell('[{"id": 101, "lines": [[3, 1000]], "method": null,
        "payments": [["card", 60, "auth 77"], ["voucher", 30, null], ["cash", 10]]}]');
    PERFORM pg_temp.equal('split', s.change_minor, 5::bigint);
    PERFORM pg_temp.equal('mixed', s.payment_method, 'mixed');
    PERFORM pg_temp.equal('methods', s.payment_methods, ARRAY['card', 'voucher', 'cash']);
    PERFORM pg_temp.equal('references', s.payment_references, ARRAY['auth 77', NULL, NULL]);

    SELECT * INTO s FROM pg_temp.sell('[{"id": 102, "lines": [[3, 1000]], "method": null,
        "payments": [["card", 60], ["card", 35]]}]');
    PERFORM pg_temp.equal('one method', s.payment_method, 'card');

    SELECT * INTO s FROM pg_temp.sell('[{"id": 103, "lines": [[3, 1000]], "method": "card"}]');
    PERFORM pg_temp.equal('default', s.payment_methods::text || s.payment_amounts_minor::text, '{card}{95}');

    -- Payments find their sales in a batch in which not every sale has some.
    PERFORM pg_temp.equal('batch', (SELECT array_agg(change_minor ORDER BY sale_index) FROM pg_temp.sell(
        '[{"id": 104, "lines": [[3, 1000]]}, {"id": 105, "lines": [[3, 1000]], "payments": [["cash", 96]]},
          {"id": 106, "lines": [[3, 1000]]},
          {"id": 107, "lines": [[3, 1000]], "payments": [["card", 90], ["cash", 7]]}]')),
        ARRAY[0, 1, 0, 2]::bigint[]);

    -- A caller's mistake is an error, not a sale.
    BEGIN
        PERFORM record_sales('{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}',
                             '{}', '{}', '{}', '{}', '{1}', '{cash}', '{1}', '{NULL}', 'EUR', true, 'UTC', 0);
        RAISE 'accepted a payment without a sale';
    EXCEPTION WHEN invalid_parameter_value THEN NULL;
    END;
END $$;
