-- SPDX-License-Identifier: Apache-2.0
-- The business date is the store's: its zone, its hour of closing, the time of the sale.
DO $$
DECLARE
    v_case record;
BEGIN
    FOR v_case IN SELECT * FROM (VALUES
        (100, '2026-07-01T22:30:00Z', 'Europe/Berlin', 0,     '2026-07-02'),
        (101, '2026-07-01T22:30:00Z', 'UTC',           0,     '2026-07-01'),
        (102, '2026-07-02T01:59:59Z', 'Europe/Berlin', 14400, '2026-07-01'),
        (103, '2026-07-02T02:00:00Z', 'Europe/Berlin', 14400, '2026-07-02'),
        (104, '2026-01-01T04:59:00Z', 'America/New_York', 0,  '2025-12-31'),
        -- The night of the longer hour.
        (105, '2026-10-25T01:30:00Z', 'Europe/Berlin', 10800, '2026-10-24')
        ) AS v (id, at, zone, start_s, wanted)
    LOOP
        PERFORM pg_temp.equal(v_case.at || ' ' || v_case.zone, (SELECT business_date FROM pg_temp.sell(
            jsonb_build_array(jsonb_build_object('id', v_case.id, 'at', v_case.at, 'lines', '[[6, 1000]]'::jsonb)),
            false, v_case.zone, v_case.start_s)), v_case.wanted::date);
    END LOOP;
    PERFORM pg_temp.equal('no time: now', (SELECT sold_at = now() AND recorded_at = now()
        FROM pg_temp.sell('[{"id": 106, "lines": [[6, 1000]]}]')), true);
END $$;
