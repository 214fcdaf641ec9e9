-- SPDX-License-Identifier: Apache-2.0
-- lane: write
-- kind: write
-- Adds a product and returns it. 23505 names what exists already: products_pkey, products_sku_key
-- or products_barcode_key.
-- $1 uuid product_id
-- $2 text name
-- $3 int8 price_minor
-- $4 text description, or NULL
-- $5 text category, or NULL
-- $6 text image, or NULL
-- $7 text sku, or NULL
-- $8 text barcode, or NULL
-- $9 int4 tax_rate_micro
INSERT INTO products (product_id, name, price_minor, description, category, image, sku, barcode,
                      tax_rate_micro)
VALUES ($1::uuid, $2::text, $3::int8, $4::text, $5::text, $6::text, $7::text, $8::text, $9::int4)
RETURNING product_id, name, price_minor, description, category, image, sku, barcode, tax_rate_micro,
          created_at, updated_at, version
