-- SPDX-License-Identifier: Apache-2.0
-- lane: fast
-- kind: read
-- priority: refund
-- In which currency a sale was made, and so how many decimals its amounts have; or no row.
-- $1 uuid transaction_id
-- $2 text store_id the caller may see, or NULL for every store
SELECT currency
  FROM transactions
 WHERE transaction_id = $1::uuid AND ($2::text IS NULL OR store_id = $2::text)
