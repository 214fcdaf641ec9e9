-- SPDX-License-Identifier: Apache-2.0
-- lane: session
-- kind: read
-- From its commit on this session is told which products have changed (db/migrations/0004).
LISTEN tillway_catalogue
