-- SPDX-License-Identifier: Apache-2.0
-- lane: migrate
-- kind: read
-- Whether an index is whole; no row: there is none of that name.
-- $1 text name
SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass($1::text)
