-- SPDX-License-Identifier: Apache-2.0
-- Catalogue and stock: what can be sold, and how much of it each store has.
--
-- Units: money is bigint minor units (*_minor), quantities are bigint thousandths (*_milli: a till
-- may weigh), tax rates are millionths (*_micro: 20 % = 200000). No amount exceeds 999999999999999
-- (15 digits), so that a JSON number carries it exactly.

CREATE TABLE products (
    product_id     uuid        PRIMARY KEY,
    name           text        NOT NULL,
    price_minor    bigint      NOT NULL CHECK (price_minor BETWEEN 0 AND 999999999999999),
    description    text,
    category       text,
    image          text,
    sku            text,
    barcode        text,
    tax_rate_micro int         NOT NULL DEFAULT 0 CHECK (tax_rate_micro BETWEEN 0 AND 10000000),
    created_at     timestamptz NOT NULL DEFAULT now(),
    updated_at     timestamptz NOT NULL DEFAULT now(),
    version        bigint      NOT NULL DEFAULT 1,
    -- Soft delete: sold lines keep pointing at the product; its sku and barcode become free again.
    deleted_at     timestamptz
);

CREATE UNIQUE INDEX products_sku_key ON products (sku) WHERE deleted_at IS NULL;
CREATE UNIQUE INDEX products_barcode_key ON products (barcode) WHERE deleted_at IS NULL;
CREATE INDEX products_category_idx ON products (category, product_id);

-- A product without a row here is not stock-tracked in that store: it sells freely there and moves
-- nothing (services, deposits, goods nobody counts).
CREATE TABLE inventory (
    store_id           text        NOT NULL,
    product_id         uuid        NOT NULL REFERENCES products,
    stock_milli        bigint      NOT NULL CHECK (stock_milli >= 0),
    low_stock_at_milli bigint      CHECK (low_stock_at_milli >= 0),
    updated_at         timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (store_id, product_id)
-- Every sale rewrites these rows: room on the page keeps the updates heap-only. For the same reason
-- no index may contain stock_milli or updated_at.
) WITH (fillfactor = 50);

-- The ledger: append-only, and in step with inventory. For a tracked product the sum of
-- quantity_milli equals stock_milli, provided the first count is written as a movement too.
CREATE TABLE inventory_movements (
    movement_id    bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    store_id       text        NOT NULL,
    product_id     uuid        NOT NULL,
    quantity_milli bigint      NOT NULL, -- signed: a sale is negative
    kind           text        NOT NULL CHECK (kind IN
        ('sale', 'refund', 'void', 'receive', 'count', 'adjust', 'transfer')),
    reference      uuid,                 -- the transaction or document it belongs to
    created_at     timestamptz NOT NULL DEFAULT now(),
    principal      text        NOT NULL
);

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% rows are immutable', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END $$;

CREATE TRIGGER inventory_movements_immutable BEFORE UPDATE OR DELETE ON inventory_movements
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
