-- SPDX-License-Identifier: Apache-2.0
-- lane: migrate
-- kind: write
-- For this session: what is made outside a transaction waits for others as long as it must, whatever the role's
-- timeouts are; and it does not go on for a client that is gone (PostgreSQL 14 and later, on Linux).
SELECT set_config(name, CASE name WHEN 'client_connection_check_interval' THEN '1s' ELSE '0' END, false)
  FROM pg_settings
 WHERE name IN ('lock_timeout', 'statement_timeout')
    OR name = 'client_connection_check_interval' AND version() LIKE '%linux%'
