-- SPDX-License-Identifier: Apache-2.0
-- lane: write
-- kind: write
-- Adds a customer and returns it. 23505: customers_pkey.
-- $1 text actor
-- $2 uuid customer_id
-- $3 text name
-- $4 text phone, or NULL
-- $5 text email, or NULL
-- $6 text notes, or NULL
SELECT customer_id, name, phone, email, notes, created_at, updated_at, version
  FROM create_customer($1::text, $2::uuid, $3::text, $4::text, $5::text, $6::text)
