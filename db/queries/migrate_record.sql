-- SPDX-License-Identifier: Apache-2.0
-- lane: migrate
-- kind: write
-- Remembers a migration, in the transaction that applies it.
-- $1 text name
-- $2 text sha256 of its text, in hex
INSERT INTO tillway_migrations (name, sha256) VALUES ($1::text, $2::text)
