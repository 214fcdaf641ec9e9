-- SPDX-License-Identifier: Apache-2.0
-- lane: write
-- kind: write
-- Adds a product (db/migrations/0020): one row, the verdict and the columns of product_get.
-- $1 text actor: the principal's subject
-- $2 uuid product_id, or NULL: the client has made none
-- Arrays of one:
-- $3 text[] name
-- $4 int8[] price_minor
-- $5 text[] description; elements may be NULL
-- $6 text[] category; elements may be NULL
-- $7 text[] image; elements may be NULL
-- $8 text[] sku; elements may be NULL
-- $9 text[] barcode; elements may be NULL
-- $10 int4[] tax_rate_micro
-- $11 text idempotency key, or NULL
-- $12 bytea fingerprint of what is asked for, or NULL
-- $13 uuid product_id if the client has made none
SELECT verdict, (product).product_id, (product).name, (product).price_minor, (product).description,
       (product).category, (product).image, (product).sku, (product).barcode, (product).tax_rate_micro,
       (product).created_at, (product).updated_at, (product).version
  FROM create_product($11::text, $12::bytea, coalesce($2::uuid, $13::uuid), $1::text, $3::text[],
                      $4::int8[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[],
                      $10::int4[])
