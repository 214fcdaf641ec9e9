-- SPDX-License-Identifier: Apache-2.0
-- PostgreSQL's own array_send gives the bytes that gateway/db_rows.c writes and gateway/db_gather.c
-- merges: two arrays one behind the other are the first one's header with the sum of both lengths, and
-- both arrays' elements. Only the flag differs, which we always set: array_recv takes 0 and 1 alike.
CREATE FUNCTION pg_temp.merged(a bytea, b bytea) RETURNS bytea LANGUAGE sql AS $$
    SELECT CASE WHEN length(a) = 12 THEN b WHEN length(b) = 12 THEN a
           ELSE substring(a FOR 4) || greatest(substring(a FROM 5 FOR 4), substring(b FROM 5 FOR 4))
                || substring(a FROM 9 FOR 4)
                || int4send(('x' || encode(substring(a FROM 13 FOR 4), 'hex'))::bit(32)::int
                            + ('x' || encode(substring(b FROM 13 FOR 4), 'hex'))::bit(32)::int)
                || substring(a FROM 17) || substring(b FROM 21) END
$$;
DO $$
DECLARE
    v_texts text[] := ARRAY['ab', NULL, '', E'\U0001F600'];
    v_uuids uuid[] := ARRAY[pg_temp.id(1), pg_temp.id(2)];
    v_none  int8[] := '{}';
    v_many  int8[] := (SELECT array_agg(n) FROM generate_series(-500, 500) n);
    v_bytes bytea[] := ARRAY['\x00ff'::bytea, NULL, ''];
    v_times timestamptz[] := ARRAY['2000-01-01 00:00:01.001+00'::timestamptz, NULL];
BEGIN
    PERFORM pg_temp.equal('elements', array_send(ARRAY['ab', NULL, '']),
        '\x000000010000000100000019000000030000000100000002'::bytea || 'ab' || '\xffffffff00000000');
    PERFORM pg_temp.equal('empty', array_send(v_none), '\x000000000000000000000014');
    PERFORM pg_temp.equal('uuid', array_send(ARRAY[pg_temp.id(1)]),
        '\x000000010000000000000b86000000010000000100000010' || uuid_send(pg_temp.id(1)));
    PERFORM pg_temp.equal('texts', pg_temp.merged(array_send(v_texts), array_send(v_texts[1:1])),
        array_send(v_texts || v_texts[1:1]));
    PERFORM pg_temp.equal('uuids', pg_temp.merged(array_send(v_uuids), array_send(v_uuids)),
        array_send(v_uuids || v_uuids));
    PERFORM pg_temp.equal('many', pg_temp.merged(array_send(v_many), array_send(v_many)),
        array_send(v_many || v_many));
    PERFORM pg_temp.equal('empty first', pg_temp.merged(array_send(v_none), array_send(v_many)),
        array_send(v_none || v_many));
    PERFORM pg_temp.equal('empty last', pg_temp.merged(array_send(v_many), array_send(v_none)),
        array_send(v_many || v_none));
    PERFORM pg_temp.equal('bytes', pg_temp.merged(array_send(v_bytes), array_send(v_bytes)),
        array_send(v_bytes || v_bytes));
    PERFORM pg_temp.equal('times', pg_temp.merged(array_send(v_times), array_send(v_times[1:1])),
        array_send(v_times || v_times[1:1]));
END $$;
