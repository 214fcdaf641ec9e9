-- SPDX-License-Identifier: Apache-2.0
-- lane: write
-- kind: write
-- Changes some fields of a product and returns it; the verdict says what came of it
-- (db/migrations/0005: patch_product).
-- $1 text actor: the principal's subject
-- $2 int8[] if_match: versions, -1 for any; NULL: no condition
-- $3 uuid product_id
-- $4 int4 the fields to change, a bit each, in the order of the parameters from name on
-- $5 text name
-- $6 int8 price_minor
-- $7 text description, or NULL
-- $8 text category, or NULL
-- $9 text image, or NULL
-- $10 text sku, or NULL
-- $11 text barcode, or NULL
-- $12 int4 tax_rate_micro
SELECT p.verdict,
       (p.product).product_id, (p.product).name, (p.product).price_minor, (p.product).description,
       (p.product).category, (p.product).image, (p.product).sku, (p.product).barcode,
       (p.product).tax_rate_micro, (p.product).created_at, (p.product).updated_at,
       (p.product).version
  FROM patch_product($1::text, $2::int8[], $3::uuid, $4::int4, $5::text, $6::int8, $7::text,
                     $8::text, $9::text, $10::text, $11::text, $12::int4) p
