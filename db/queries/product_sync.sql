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
-- $6 uuid after product_id, of the page before, or NULL
-- $7 int4 limit
--
-- The filters stand in a CASE, which the planner takes for one that many rows pass: it then walks the
-- index in its order. It would else think that a few rows are left, and sort all that has changed.
SELECT product_id, name, price_minor, description, category, image, sku, barcode, tax_rate_micro,
       created_at, updated_at, version, deleted_at IS NOT NULL AS is_deleted,
       (extract(epoch FROM updated_at) * 1000000)::int8 AS changed_us
  FROM products
 WHERE (updated_at, product_id) > (
           CASE WHEN $5::int8 IS NULL THEN $4::timestamptz - interval '1 microsecond'
                ELSE timestamptz 'epoch' + $5::int8 * interval '1 microsecond' END,
           coalesce($6::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid))
   AND CASE WHEN $1::text IS NOT NULL THEN category = $1::text ELSE true END
   AND CASE WHEN $2::text IS NOT NULL
            THEN product_matches(name, sku, barcode, $2::text, $3::text) ELSE true END
 ORDER BY updated_at, product_id
 LIMIT $7::int4
