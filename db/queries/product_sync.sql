-- SPDX-License-Identifier: Apache-2.0
-- lane: slow
-- kind: read
-- A page of what has changed in the catalogue since a time, deleted products included, in the order
-- of the changes. updated_at only ever grows and is in the order of commits (db/migrations/0005), so
-- that a reader who goes on from the last row it has seen misses nothing.
-- $1 text category, or NULL for all
-- $2 text q, or NULL
-- $3 text pattern: q for ILIKE, with % around it and its own wildcards escaped; or NULL
-- $4 timestamptz since (inclusive)
-- $5 int8 after changed_us, of the page before, or NULL
-- $6 uuid after product_id, of the page before; given when $5 is
-- $7 int4 limit
SELECT product_id, name, price_minor, description, category, image, sku, barcode, tax_rate_micro,
       created_at, updated_at, version, deleted_at IS NOT NULL AS is_deleted,
       (extract(epoch FROM updated_at) * 1000000)::int8 AS changed_us
  FROM products
 WHERE (updated_at, product_id) > (
           CASE WHEN $5::int8 IS NULL THEN $4::timestamptz - interval '1 microsecond'
                ELSE timestamptz 'epoch' + $5::int8 * interval '1 microsecond' END,
           coalesce($6::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid))
   AND ($1::text IS NULL OR category = $1::text)
   AND ($2::text IS NULL OR product_matches(name, sku, barcode, $2::text, $3::text))
 ORDER BY updated_at, product_id
 LIMIT $7::int4
