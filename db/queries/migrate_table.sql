-- SPDX-License-Identifier: Apache-2.0
-- lane: migrate
-- kind: write
-- Where applied migrations are remembered.
CREATE TABLE IF NOT EXISTS tillway_migrations (
    name       text        PRIMARY KEY,
    sha256     text        NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)
