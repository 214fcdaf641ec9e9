-- SPDX-License-Identifier: Apache-2.0
-- lane: migrate
-- kind: read
-- Whom a statement of another session of ours waits for, in words: the oldest of them. No row: for nobody. It is
-- known by its text, as a pooler hides its pid.
-- $1 text the statement
SELECT CASE blocker.pid WHEN 0 THEN 'a prepared one (pg_prepared_xacts)'
            ELSE concat_ws(', ', 'pid ' || blocker.pid, nullif(b.application_name, ''), b.state,
                           'open for ' || extract(epoch FROM clock_timestamp() - b.xact_start)::int8 || ' s') END
  FROM pg_stat_activity a
 CROSS JOIN unnest(pg_blocking_pids(a.pid)) AS blocker (pid)
  LEFT JOIN pg_stat_activity b ON b.pid = blocker.pid
 WHERE a.datname = current_database() AND a.state = 'active' AND starts_with($1::text, a.query)
   AND blocker.pid <> pg_backend_pid()
 ORDER BY b.xact_start
 LIMIT 1
