-- SPDX-License-Identifier: Apache-2.0
-- Sales: what was sold, how it was paid, under which key, and who must hear of it.
--
-- No foreign keys here. record_sales (0003) is the only writer, it writes a sale's rows in one
-- transaction from products it has just read, and none of them is ever deleted; a foreign key would
-- check the same again at several microseconds of PostgreSQL's CPU per row, on the busiest path.

-- The counter behind gapless receipt numbers. Its row stays locked until the sale commits, so a
-- number is given only together with its sale; one till's sales queue behind each other, as they do
-- in front of it.
CREATE TABLE registers (
    store_id     text   NOT NULL,
    register_id  text   NOT NULL,
    last_receipt bigint NOT NULL CHECK (last_receipt >= 0),
    PRIMARY KEY (store_id, register_id)
) WITH (fillfactor = 50);

CREATE TABLE transactions (
    transaction_id       uuid        PRIMARY KEY,
    recorded_at          timestamptz NOT NULL DEFAULT now(),
    sold_at              timestamptz NOT NULL, -- the till's clock: earlier than recorded_at if offline
    business_date        date        NOT NULL,
    store_id             text        NOT NULL,
    register_id          text        NOT NULL,
    cashier_id           text        NOT NULL,
    currency             text        NOT NULL,
    prices_include_tax   bool        NOT NULL,
    subtotal_minor       bigint      NOT NULL, -- gross lines as priced, before discounts
    discount_total_minor bigint      NOT NULL,
    tax_total_minor      bigint      NOT NULL,
    total_minor          bigint      NOT NULL,
    change_minor         bigint      NOT NULL,
    payment_method       text        NOT NULL,
    status               text        NOT NULL DEFAULT 'completed' CHECK (status IN
        ('completed', 'voided', 'partially_refunded', 'refunded')),
    receipt_number       bigint      NOT NULL
);

CREATE INDEX transactions_store_date_idx ON transactions (store_id, business_date, transaction_id);
CREATE INDEX transactions_cashier_idx ON transactions (store_id, cashier_id, transaction_id);

CREATE TABLE transaction_items (
    transaction_id   uuid   NOT NULL,
    line_no          int    NOT NULL, -- from 1
    product_id       uuid   NOT NULL,
    name             text   NOT NULL, -- name, price and rate as they were at that moment
    quantity_milli   bigint NOT NULL,
    unit_price_minor bigint NOT NULL,
    discount_minor   bigint NOT NULL,
    tax_rate_micro   int    NOT NULL,
    tax_minor        bigint NOT NULL,
    line_total_minor bigint NOT NULL,
    PRIMARY KEY (transaction_id, line_no)
);

CREATE TABLE payments (
    transaction_id uuid   NOT NULL,
    payment_no     int    NOT NULL, -- from 1
    method         text   NOT NULL,
    amount_minor   bigint NOT NULL, -- as tendered; the change is the header's
    reference      text,
    PRIMARY KEY (transaction_id, payment_no)
);

-- scope is the principal's subject, so that two users' keys never meet. fingerprint is the digest
-- of what was asked: the same key with another one is a mismatch, not a replay.
CREATE TABLE idempotency_keys (
    scope          text        NOT NULL,
    key            text        NOT NULL,
    fingerprint    bytea       NOT NULL,
    transaction_id uuid        NOT NULL,
    created_at     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (scope, key)
);

-- event_id order is not commit order. A reader that must miss nothing takes only rows with
-- xid < pg_snapshot_xmin(pg_current_snapshot()), ordered by (xid, event_id).
CREATE TABLE outbox (
    event_id   bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    xid        xid8        NOT NULL DEFAULT pg_current_xact_id(),
    kind       text        NOT NULL, -- transaction.recorded
    store_id   text        NOT NULL,
    reference  uuid        NOT NULL, -- the reader fetches the rest by it
    created_at timestamptz NOT NULL DEFAULT now()
);

-- A recorded sale never changes, except that its status follows refunds and voids (which are
-- records of their own). The triggers cost an INSERT nothing.
CREATE TRIGGER transactions_immutable BEFORE DELETE OR UPDATE OF
    transaction_id, recorded_at, sold_at, business_date, store_id, register_id, cashier_id, currency,
    prices_include_tax, subtotal_minor, discount_total_minor, tax_total_minor, total_minor,
    change_minor, payment_method, receipt_number ON transactions
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER transaction_items_immutable BEFORE UPDATE OR DELETE ON transaction_items
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER payments_immutable BEFORE UPDATE OR DELETE ON payments
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
