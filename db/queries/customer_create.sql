-- SPDX-License-Identifier: Apache-2.0
-- lane: write
-- kind: write
-- Adds a customer (db/migrations/0020): one row, the verdict and the columns of customer_get.
-- 23505: customers_pkey.
-- $1 text actor: the principal's subject
-- $2 uuid customer_id, or NULL: the client has made none
-- $3 text name
-- $4 text phone, or NULL
-- $5 text email, or NULL
-- $6 text notes, or NULL
-- $7 text idempotency key, or NULL
-- $8 bytea fingerprint of what is asked for, or NULL
-- $9 uuid customer_id if the client has made none
SELECT verdict, (customer).customer_id, (customer).name, (customer).phone, (customer).email,
       (customer).notes, (customer).created_at, (customer).updated_at, (customer).version
  FROM create_customer_once($7::text, $8::bytea, coalesce($2::uuid, $9::uuid), $1::text, $3::text,
                            $4::text, $5::text, $6::text)
