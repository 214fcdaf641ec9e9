-- SPDX-License-Identifier: Apache-2.0
-- lane: slow
-- kind: read
-- A page of customers with the columns of customer_get: all in customer_id order, or those whose
-- name, email or phone begins like the one that is given, in its order. Upper and lower case are the
-- same, of a phone only digits and '+' count.
-- $1 text name, or NULL
-- $2 text email, or NULL
-- $3 text phone, or NULL
-- $4 uuid the last customer_id of the page before, or NULL
-- $5 text its sort_key, or NULL; it may have another by now, or be nobody's
-- $6 int4 limit
--
-- Four branches, of which three are always empty, each along its index: from where the page before
-- ended to the end of the prefix, which is the prefix and the last of all characters.
(SELECT customer_id, name, phone, email, notes, created_at, updated_at, version, '' COLLATE "C" AS sort_key
   FROM customers
  WHERE $1::text IS NULL AND $2::text IS NULL AND $3::text IS NULL AND erased_at IS NULL
    AND customer_id > coalesce($4::uuid, '00000000-0000-0000-0000-000000000000'::uuid)
  ORDER BY customer_id
  LIMIT $6::int4)
UNION ALL
(SELECT customer_id, name, phone, email, notes, created_at, updated_at, version,
        lower(name) COLLATE "C" AS sort_key
   FROM customers
  WHERE erased_at IS NULL
    AND lower(name) COLLATE "C" >= lower($1::text)
    AND lower(name) COLLATE "C" < lower($1::text) || U&'\+10FFFF'
    AND (lower(name) COLLATE "C", customer_id)
        > (coalesce($5::text, ''),
           coalesce($4::uuid, '00000000-0000-0000-0000-000000000000'::uuid))
  ORDER BY lower(name) COLLATE "C", customer_id
  LIMIT $6::int4)
UNION ALL
(SELECT customer_id, name, phone, email, notes, created_at, updated_at, version,
        lower(email) COLLATE "C" AS sort_key
   FROM customers
  WHERE erased_at IS NULL
    AND lower(email) COLLATE "C" >= lower($2::text)
    AND lower(email) COLLATE "C" < lower($2::text) || U&'\+10FFFF'
    AND (lower(email) COLLATE "C", customer_id)
        > (coalesce($5::text, ''),
           coalesce($4::uuid, '00000000-0000-0000-0000-000000000000'::uuid))
  ORDER BY lower(email) COLLATE "C", customer_id
  LIMIT $6::int4)
UNION ALL
(SELECT customer_id, name, phone, email, notes, created_at, updated_at, version,
        phone_digits(phone) COLLATE "C" AS sort_key
   FROM customers
  WHERE erased_at IS NULL
    AND phone_digits(phone) COLLATE "C" >= phone_digits($3::text)
    AND phone_digits(phone) COLLATE "C" < phone_digits($3::text) || U&'\+10FFFF'
    AND (phone_digits(phone) COLLATE "C", customer_id)
        > (coalesce($5::text, ''),
           coalesce($4::uuid, '00000000-0000-0000-0000-000000000000'::uuid))
  ORDER BY phone_digits(phone) COLLATE "C", customer_id
  LIMIT $6::int4)
ORDER BY sort_key, customer_id
