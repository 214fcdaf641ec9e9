-- SPDX-License-Identifier: Apache-2.0
-- lane: write
-- kind: write
-- Puts products whole, each judged on its own; one row per product in input order
-- (db/migrations/0005: put_products). A refusal is a row, not an error.
-- $1 text actor: the principal's subject
-- $2 int8[] if_match: versions, -1 for any; NULL: no condition
-- $3 bool is_new: none of them may be there already
-- Per product:
-- $4 uuid[] product_id
-- $5 bool[] by_sku: the product that has this sku, else a new one under product_id
-- $6 text[] name
-- $7 int8[] price_minor
-- $8 text[] description; elements may be NULL
-- $9 text[] category; elements may be NULL
-- $10 text[] image; elements may be NULL
-- $11 text[] sku; elements may be NULL
-- $12 text[] barcode; elements may be NULL
-- $13 int4[] tax_rate_micro
SELECT p.verdict,
       (p.product).product_id, (p.product).name, (p.product).price_minor, (p.product).description,
       (p.product).category, (p.product).image, (p.product).sku, (p.product).barcode,
       (p.product).tax_rate_micro, (p.product).created_at, (p.product).updated_at,
       (p.product).version
  FROM put_products($1::text, $2::int8[], $3::bool, $4::uuid[], $5::bool[], $6::text[], $7::int8[],
                    $8::text[], $9::text[], $10::text[], $11::text[], $12::text[], $13::int4[]) p
 ORDER BY p.item
