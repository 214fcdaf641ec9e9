-- SPDX-License-Identifier: Apache-2.0
-- lane: write
-- kind: write
-- Changes the fields that are named (db/migrations/0008): one row, the verdict and the columns of
-- customer_get.
-- $1 text actor
-- $2 uuid customer_id
-- $3 text If-Match, or NULL
-- $4 text name, or NULL: as it is
-- $5 bool whether phone is set
-- $6 text phone, or NULL
-- $7 bool whether email is set
-- $8 text email, or NULL
-- $9 bool whether notes are set
-- $10 text notes, or NULL
SELECT verdict, (customer).customer_id, (customer).name, (customer).phone, (customer).email,
       (customer).notes, (customer).created_at, (customer).updated_at, (customer).version
  FROM patch_customer($1::text, $2::uuid, $3::text, $4::text, $5::bool, $6::text, $7::bool, $8::text,
                      $9::bool, $10::text)
