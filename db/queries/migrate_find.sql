-- SPDX-License-Identifier: Apache-2.0
-- lane: migrate
-- kind: read
-- The digest under which a migration was applied, or no row.
-- $1 text name
SELECT sha256 FROM tillway_migrations WHERE name = $1::text
