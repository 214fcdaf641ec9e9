-- SPDX-License-Identifier: Apache-2.0
-- lane: write
-- kind: write
-- Moves stock once per key (db/migrations/0007): one row, the verdict and the document.
-- $1 uuid document_id
-- $2 text idempotency scope: the principal's subject
-- $3 text idempotency key
-- $4 bytea fingerprint
-- $5 text kind: receive, count, adjust or transfer
-- $6 text store_id
-- $7 text to_store_id of a transfer, or NULL
-- $8 bool whether the principal may name a store that has no stock yet
-- $9 text note, or NULL
-- $10 text principal
-- $11 uuid[] product_id, line by line
-- $12 int8[] quantity_milli: signed for adjust, the new level for count
SELECT verdict, refused_line, document_id, kind, store_id, to_store_id, note, principal, created_at,
       product_ids, quantities_milli, stocks_milli
  FROM move_stock($1::uuid, $2::text, $3::text, $4::bytea, $5::text, $6::text, $7::text, $8::bool,
                  $9::text, $10::text, $11::uuid[], $12::int8[])
