-- SPDX-License-Identifier: Apache-2.0
-- transaction_get returns what record_sales answered, and only to those who may see the store.
DO $$
DECLARE
    s record;
    t record;
BEGIN
    SELECT * INTO s FROM pg_temp.sell('[{"id": 100, "store": "east", "lines": [[6, 1000], [3, 2000, 1]],
        "payments": [["card", 6000], ["cash", 500]]}]');
    EXECUTE format('EXECUTE transaction_get(%L, ''east'')', pg_temp.id(100)) INTO t;
    PERFORM pg_temp.equal('own store', to_jsonb(t), to_jsonb(s) - 'sale_index' - 'verdict' - 'refused_line');
    EXECUTE format('EXECUTE transaction_get(%L, NULL)', pg_temp.id(100)) INTO t;
    PERFORM pg_temp.equal('every store', t.transaction_id, pg_temp.id(100));
    EXECUTE format('EXECUTE transaction_get(%L, ''main'')', pg_temp.id(100)) INTO t;
    PERFORM pg_temp.equal('another store', t.transaction_id, NULL);
    EXECUTE format('EXECUTE transaction_get(%L, NULL)', pg_temp.id(101)) INTO t;
    PERFORM pg_temp.equal('none', t.transaction_id, NULL);
END $$;
