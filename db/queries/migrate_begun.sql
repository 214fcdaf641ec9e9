-- SPDX-License-Identifier: Apache-2.0
-- lane: migrate
-- kind: write
-- First in the transaction of a migration: it waits so long for a table. Who comes to the table after it
-- waits behind it.
SET LOCAL lock_timeout = '500ms'
