-- SPDX-License-Identifier: Apache-2.0
-- lane: write
-- kind: write
-- Deletes a product softly: deleted, not-found or precondition-failed (db/migrations/0005:
-- delete_product).
-- $1 text actor: the principal's subject
-- $2 int8[] if_match: versions, -1 for any; NULL: no condition
-- $3 uuid product_id
SELECT delete_product($1::text, $2::int8[], $3::uuid) AS verdict
