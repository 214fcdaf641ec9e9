-- SPDX-License-Identifier: Apache-2.0
-- lane: write
-- kind: write
-- Erases a customer's personal fields (db/migrations/0008): the verdict.
-- $1 text actor
-- $2 uuid customer_id
-- $3 text If-Match, or NULL
SELECT erase_customer($1::text, $2::uuid, $3::text) AS verdict
