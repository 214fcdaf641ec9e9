-- SPDX-License-Identifier: Apache-2.0
-- lane: slow
-- kind: read
-- A page of who changed what, the newest first.
-- $1 text store_id, or NULL for all and what belongs to no store
-- $2 text entity, or NULL
-- $3 text entity_id, or NULL; with an entity only
-- $4 text actor, or NULL
-- $5 timestamptz from (inclusive), or NULL
-- $6 timestamptz to (exclusive), or NULL
-- $7 int8 after at_us, of the page before, or NULL
-- $8 int8 after id, of the page before, or NULL
-- $9 int4 limit
--
-- Four branches, of which three are always empty: each walks an index of its own in a generic plan.
-- Filters that the index does not serve stand in a CASE, which the planner takes for one that many rows
-- pass.
SELECT id, at, actor, action, entity, entity_id, store_id, before::text, after::text,
       (extract(epoch FROM at) * 1000000)::int8 AS at_us
  FROM ((SELECT * FROM audit_log
         WHERE entity = $2::text AND entity_id = $3::text
           AND at >= coalesce($5::timestamptz, '-infinity')
           AND (at, id) < (coalesce(timestamptz 'epoch' + $7::int8 * interval '1 microsecond',
                                    $6::timestamptz, 'infinity'), coalesce($8::int8, 0))
           AND CASE WHEN $1::text IS NOT NULL THEN store_id = $1::text ELSE true END
           AND CASE WHEN $4::text IS NOT NULL THEN actor = $4::text ELSE true END
         ORDER BY entity DESC, entity_id DESC, at DESC, id DESC LIMIT $9::int4)
        UNION ALL
        (SELECT * FROM audit_log
         WHERE $3::text IS NULL AND actor = $4::text
           AND at >= coalesce($5::timestamptz, '-infinity')
           AND (at, id) < (coalesce(timestamptz 'epoch' + $7::int8 * interval '1 microsecond',
                                    $6::timestamptz, 'infinity'), coalesce($8::int8, 0))
           AND CASE WHEN $1::text IS NOT NULL THEN store_id = $1::text ELSE true END
           AND CASE WHEN $2::text IS NOT NULL THEN entity = $2::text ELSE true END
         ORDER BY actor DESC, at DESC, id DESC LIMIT $9::int4)
        UNION ALL
        (SELECT * FROM audit_log
         WHERE $3::text IS NULL AND $4::text IS NULL AND store_id = $1::text
           AND at >= coalesce($5::timestamptz, '-infinity')
           AND (at, id) < (coalesce(timestamptz 'epoch' + $7::int8 * interval '1 microsecond',
                                    $6::timestamptz, 'infinity'), coalesce($8::int8, 0))
           AND CASE WHEN $2::text IS NOT NULL THEN entity = $2::text ELSE true END
         ORDER BY store_id DESC, at DESC, id DESC LIMIT $9::int4)
        UNION ALL
        (SELECT * FROM audit_log
         WHERE $3::text IS NULL AND $4::text IS NULL AND $1::text IS NULL
           AND at >= coalesce($5::timestamptz, '-infinity')
           AND (at, id) < (coalesce(timestamptz 'epoch' + $7::int8 * interval '1 microsecond',
                                    $6::timestamptz, 'infinity'), coalesce($8::int8, 0))
           AND CASE WHEN $2::text IS NOT NULL THEN entity = $2::text ELSE true END
         ORDER BY at DESC, id DESC LIMIT $9::int4)) a
 ORDER BY at DESC, id DESC
 LIMIT $9::int4
