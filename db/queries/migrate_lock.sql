-- SPDX-License-Identifier: Apache-2.0
-- lane: migrate
-- kind: write
-- Whether no other `tillway migrate` is at work on this database; held until the session ends. The number is
-- ours and means nothing else. It is asked for again and again: who waits in pg_advisory_lock has a snapshot,
-- and CREATE INDEX CONCURRENTLY of the one that has the lock would wait for it, for ever.
SELECT pg_try_advisory_lock(7716700120261120)
