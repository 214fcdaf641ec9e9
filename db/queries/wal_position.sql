-- SPDX-License-Identifier: Apache-2.0
-- lane: session
-- kind: read
-- How far this server is in the write-ahead log, in bytes: what a primary has flushed, which holds all that
-- was acknowledged, or what a standby has replayed (NULL before the first record).
SELECT pg_is_in_recovery(),
       pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()
                            ELSE pg_current_wal_flush_lsn() END, '0/0')::int8
