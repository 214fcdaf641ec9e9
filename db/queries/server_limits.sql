-- SPDX-License-Identifier: Apache-2.0
-- lane: migrate
-- kind: read
-- How many connections the server has for roles that are no superusers (tillway -t).
SELECT current_setting('max_connections')::int4 - current_setting('superuser_reserved_connections')::int4
