-- SPDX-License-Identifier: Apache-2.0
-- The sample catalogue, with stock in the stores `main` and `north`.
--
--   psql -X -v ON_ERROR_STOP=1 -f db/sample/load.sql URL < db/sample/products.csv
--
-- Loading it again adds what is missing and changes nothing else: an edited product keeps its
-- edits, a product in stock its stock. Product ids follow from the sku (RFC 9562, version 8), so
-- that examples and tests can name them; dev/product-id.sh computes the same.

BEGIN;

CREATE TEMPORARY TABLE sample (
    sku text PRIMARY KEY, barcode text NOT NULL UNIQUE, name text NOT NULL, category text NOT NULL,
    price_minor bigint NOT NULL, tax_rate_micro int NOT NULL, description text NOT NULL,
    image text NOT NULL, quantity_milli bigint NOT NULL, low_stock_at_milli bigint NOT NULL
) ON COMMIT DROP;

\copy sample FROM pstdin WITH (FORMAT csv, HEADER match)

INSERT INTO products (product_id, name, price_minor, description, category, image, sku, barcode,
                      tax_rate_micro)
SELECT overlay(overlay(md5('tillway/sample/' || sku) PLACING '8' FROM 13) PLACING 'a' FROM 17)::uuid,
       name, price_minor, description, category, image, sku, barcode, tax_rate_micro
FROM sample
ORDER BY sku
ON CONFLICT DO NOTHING;

-- The opening count is a movement too, so that the ledger adds up to the stock. `north` is the
-- smaller store: half of everything.
WITH stocked AS (
    INSERT INTO inventory (store_id, product_id, stock_milli, low_stock_at_milli)
    SELECT store_id, product_id, quantity_milli / share / 1000 * 1000,
           low_stock_at_milli / share / 1000 * 1000
    FROM sample
    JOIN products USING (sku)
    CROSS JOIN (VALUES ('main', 1), ('north', 2)) AS store (store_id, share)
    WHERE deleted_at IS NULL
    ORDER BY store_id, sku
    ON CONFLICT DO NOTHING
    RETURNING store_id, product_id, stock_milli
)
INSERT INTO inventory_movements (store_id, product_id, quantity_milli, kind, principal)
SELECT store_id, product_id, stock_milli, 'count', 'sample'
FROM stocked;

COMMIT;

ANALYZE products, inventory;
