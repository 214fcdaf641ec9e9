-- SPDX-License-Identifier: Apache-2.0
-- lane: fast
-- kind: read
-- One customer, or no row: unknown or erased.
-- $1 uuid customer_id
SELECT customer_id, name, phone, email, notes, created_at, updated_at, version
  FROM customers
 WHERE customer_id = $1::uuid AND erased_at IS NULL
