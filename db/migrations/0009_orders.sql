-- SPDX-License-Identifier: Apache-2.0
-- Orders: baskets that wait: a cart, a parked sale, an order from elsewhere. Open, then paid or
-- cancelled. An open order holds no prices and no stock: both are the moment's, until checkout_order
-- makes a sale of it (record_sales, 0003 and 0006), which freezes them.
--
-- An order's row is locked before anything else, so that of two tills that check out one order the
-- second sees what the first has made of it.

CREATE TABLE orders (
    order_id       uuid        PRIMARY KEY,
    store_id       text        NOT NULL,
    user_id        text        NOT NULL, -- who opened it: the principal's subject
    customer_id    uuid        REFERENCES customers,
    status         text        NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'paid', 'cancelled')),
    is_parked      bool        NOT NULL DEFAULT false,
    label          text,                 -- what a parked order is called: "table 4"
    note           text,
    discount_minor bigint      CHECK (discount_minor > 0), -- on the basket
    version        bigint      NOT NULL DEFAULT 1,
    transaction_id uuid        CHECK ((transaction_id IS NOT NULL) = (status = 'paid')),
    created_at     timestamptz NOT NULL DEFAULT now(),
    updated_at     timestamptz NOT NULL DEFAULT now()
);

-- The lists (db/queries/order_list.sql), newest first. Without a status the list is merged from all
-- three, so that two indexes suffice.
CREATE INDEX idx_orders_created_at ON orders (store_id, status, created_at, order_id);
CREATE INDEX idx_orders_user_id ON orders (store_id, user_id, status, created_at, order_id);

CREATE TABLE order_items (
    order_id       uuid   NOT NULL REFERENCES orders,
    line_no        int    NOT NULL, -- from 1
    product_id     uuid   NOT NULL REFERENCES products,
    quantity_milli bigint NOT NULL CHECK (quantity_milli > 0),
    discount_minor bigint NOT NULL CHECK (discount_minor >= 0),
    CONSTRAINT idx_order_items_order_id PRIMARY KEY (order_id, line_no)
);
CREATE INDEX idx_order_items_product_id ON order_items (product_id, order_id);

-- An order as the API shows it. What the items cost is NULL where it cannot be told: a product has
-- gone from the catalogue, a discount is too large.
CREATE TYPE order_detail AS (
    order_id uuid, store_id text, user_id text, customer_id uuid, status text, is_parked bool,
    label text, note text, discount_minor bigint, version bigint, transaction_id uuid,
    created_at timestamptz, updated_at timestamptz,
    item_product_ids uuid[], item_names text[], item_quantities_milli bigint[],
    item_discounts_minor bigint[], item_unit_prices_minor bigint[], item_tax_rates_micro int[],
    item_taxes_minor bigint[], item_totals_minor bigint[],
    subtotal_minor bigint, discount_total_minor bigint, tax_total_minor bigint, total_minor bigint);

-- At the catalogue's prices of this moment; a paid order as it was sold. item_discounts_minor are the
-- lines' own; taxes and totals have their share of the basket's discount in them.
CREATE FUNCTION detail_of_order(p_order orders, p_prices_include_tax bool) RETURNS order_detail
LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_order    order_detail;
    v_sale     int[];
    v_discount bigint[];
    v_refused  bool[];
BEGIN
    SELECT p_order.order_id, p_order.store_id, p_order.user_id, p_order.customer_id, p_order.status,
           p_order.is_parked, p_order.label, p_order.note, p_order.discount_minor, p_order.version,
           p_order.transaction_id, p_order.created_at, p_order.updated_at,
           array_agg(i.product_id ORDER BY i.line_no), array_agg(p.name ORDER BY i.line_no),
           array_agg(i.quantity_milli ORDER BY i.line_no),
           array_agg(i.discount_minor ORDER BY i.line_no)
      INTO v_order
      FROM order_items i
      JOIN products p USING (product_id)
     WHERE i.order_id = p_order.order_id;
    IF p_order.status = 'paid' THEN
        SELECT array_agg(i.name ORDER BY i.line_no), array_agg(i.unit_price_minor ORDER BY i.line_no),
               array_agg(i.tax_rate_micro ORDER BY i.line_no), array_agg(i.tax_minor ORDER BY i.line_no),
               array_agg(i.line_total_minor ORDER BY i.line_no)
          INTO v_order.item_names, v_order.item_unit_prices_minor, v_order.item_tax_rates_micro,
               v_order.item_taxes_minor, v_order.item_totals_minor
          FROM transaction_items i WHERE i.transaction_id = p_order.transaction_id;
        SELECT t.subtotal_minor, t.discount_total_minor, t.tax_total_minor, t.total_minor
          INTO v_order.subtotal_minor, v_order.discount_total_minor, v_order.tax_total_minor,
               v_order.total_minor
          FROM transactions t WHERE t.transaction_id = p_order.transaction_id;
        RETURN v_order;
    END IF;
    v_sale := array_fill(1, ARRAY[cardinality(v_order.item_product_ids)]);
    v_discount := v_order.item_discounts_minor;
    v_refused := ARRAY[false];
    IF p_order.discount_minor IS NOT NULL THEN
        SELECT s.discounts, s.refused INTO v_discount, v_refused
          FROM spread_discounts(ARRAY[true], ARRAY[p_order.discount_minor], v_sale,
                   v_order.item_product_ids, v_order.item_quantities_milli, v_discount,
                   p_prices_include_tax) s;
    END IF;
    SELECT array_agg(l.unit_price_minor ORDER BY l.line_no), array_agg(l.tax_rate_micro ORDER BY l.line_no),
           array_agg(CASE WHEN l.refusal IS NULL THEN l.tax_minor END ORDER BY l.line_no),
           array_agg(CASE WHEN l.refusal IS NULL THEN l.line_total_minor END ORDER BY l.line_no),
           CASE WHEN l.is_sound THEN sum(l.gross_minor) END,
           CASE WHEN l.is_sound THEN sum(l.discount_minor) END,
           CASE WHEN l.is_sound THEN sum(l.tax_minor) END,
           CASE WHEN l.is_sound THEN sum(l.line_total_minor) END
      INTO v_order.item_unit_prices_minor, v_order.item_tax_rates_micro, v_order.item_taxes_minor,
           v_order.item_totals_minor, v_order.subtotal_minor, v_order.discount_total_minor,
           v_order.tax_total_minor, v_order.total_minor
      FROM (SELECT priced.*, bool_and(refusal IS NULL) OVER () AND NOT v_refused[1]
                   AND sum(gross_minor) OVER () <= 999999999999999
                   AND sum(line_total_minor) OVER () <= 999999999999999 AS is_sound
              FROM priced_lines(ARRAY[true], v_sale, v_order.item_product_ids,
                                v_order.item_quantities_milli, v_discount, p_prices_include_tax) priced) l
     GROUP BY l.is_sound;
    RETURN v_order;
END $$;

-- Writes an order's lines in place of those it has, or refuses.
CREATE FUNCTION write_order_items(p_order_id uuid, p_product uuid[], p_quantity_milli bigint[],
                                  p_discount_minor bigint[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_line bigint;
BEGIN
    SELECT min(l.nth) INTO v_line
      FROM unnest(p_product) WITH ORDINALITY AS l (product_id, nth)
     WHERE NOT EXISTS (SELECT FROM products p
                        WHERE p.product_id = l.product_id AND p.deleted_at IS NULL);
    IF v_line IS NOT NULL THEN
        PERFORM refuse('unknown-product', v_line - 1);
    END IF;
    DELETE FROM order_items i WHERE i.order_id = p_order_id;
    INSERT INTO order_items (order_id, line_no, product_id, quantity_milli, discount_minor)
    SELECT p_order_id, l.nth, l.product_id, l.quantity_milli, l.discount_minor
      FROM unnest(p_product, p_quantity_milli, p_discount_minor) WITH ORDINALITY
           AS l (product_id, quantity_milli, discount_minor, nth);
END $$;

CREATE FUNCTION refuse_unknown_customer(p_customer_id uuid) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF p_customer_id IS NOT NULL AND NOT EXISTS (
           SELECT FROM customers c WHERE c.customer_id = p_customer_id AND c.erased_at IS NULL) THEN
        PERFORM refuse('unknown-customer');
    END IF;
END $$;

-- One row: the verdict `opened` with the order, or a refusal (with the line, from 0, that it names):
-- already-exists, unknown-product, unknown-customer.
CREATE FUNCTION open_order(
    p_order_id uuid, p_store_id text, p_user_id text, p_customer_id uuid, p_is_parked bool,
    p_label text, p_note text, p_discount_minor bigint, p_product uuid[], p_quantity_milli bigint[],
    p_line_discount_minor bigint[], p_prices_include_tax bool)
RETURNS TABLE (verdict text, refused_line int, detail order_detail) LANGUAGE plpgsql AS $$
DECLARE
    v_line text;
BEGIN
    verdict := 'opened';
    BEGIN
        PERFORM refuse_unknown_customer(p_customer_id);
        INSERT INTO orders (order_id, store_id, user_id, customer_id, is_parked, label, note,
                            discount_minor)
        VALUES (p_order_id, p_store_id, p_user_id, p_customer_id, p_is_parked, p_label, p_note,
                p_discount_minor)
        ON CONFLICT DO NOTHING;
        IF NOT FOUND THEN
            PERFORM refuse('already-exists');
        END IF;
        PERFORM write_order_items(p_order_id, p_product, p_quantity_milli, p_line_discount_minor);
    EXCEPTION WHEN SQLSTATE 'TWREF' THEN
        GET STACKED DIAGNOSTICS verdict = MESSAGE_TEXT, v_line = PG_EXCEPTION_DETAIL;
        refused_line := nullif(v_line, '')::int;
    END;
    IF verdict = 'opened' THEN
        SELECT d.* INTO detail
          FROM orders o CROSS JOIN LATERAL detail_of_order(o, p_prices_include_tax) d
         WHERE o.order_id = p_order_id;
    END IF;
    RETURN NEXT;
END $$;

-- Changes what is named of an open order; NULL removes it, items replace all items. One row: the
-- verdict `updated` with the order, or not-found, order-not-open, precondition-failed,
-- unknown-product, unknown-customer. p_store_scope: the store the caller may see, NULL: every store.
CREATE FUNCTION patch_order(
    p_order_id uuid, p_store_scope text, p_if_match text, p_is_parked bool,
    p_set_customer bool, p_customer_id uuid, p_set_label bool, p_label text, p_set_note bool, p_note text,
    p_set_discount bool, p_discount_minor bigint, p_set_items bool, p_product uuid[],
    p_quantity_milli bigint[], p_line_discount_minor bigint[], p_prices_include_tax bool)
RETURNS TABLE (verdict text, refused_line int, detail order_detail) LANGUAGE plpgsql AS $$
DECLARE
    v_old  orders;
    v_line text;
BEGIN
    verdict := 'updated';
    BEGIN
        SELECT * INTO v_old FROM orders o
         WHERE o.order_id = p_order_id AND (p_store_scope IS NULL OR o.store_id = p_store_scope)
           FOR NO KEY UPDATE;
        IF NOT FOUND THEN
            PERFORM refuse('not-found');
        ELSIF v_old.status <> 'open' THEN
            PERFORM refuse('order-not-open');
        ELSIF NOT if_match_passes(p_if_match, v_old.version::text) THEN
            PERFORM refuse('precondition-failed');
        END IF;
        PERFORM refuse_unknown_customer(p_customer_id);
        IF p_set_items THEN
            PERFORM write_order_items(p_order_id, p_product, p_quantity_milli, p_line_discount_minor);
        END IF;
        UPDATE orders o
           SET is_parked = coalesce(p_is_parked, o.is_parked),
               customer_id = CASE WHEN p_set_customer THEN p_customer_id ELSE o.customer_id END,
               label = CASE WHEN p_set_label THEN p_label ELSE o.label END,
               note = CASE WHEN p_set_note THEN p_note ELSE o.note END,
               discount_minor = CASE WHEN p_set_discount THEN p_discount_minor ELSE o.discount_minor END,
               updated_at = now(), version = o.version + 1
         WHERE o.order_id = p_order_id;
    EXCEPTION WHEN SQLSTATE 'TWREF' THEN
        GET STACKED DIAGNOSTICS verdict = MESSAGE_TEXT, v_line = PG_EXCEPTION_DETAIL;
        refused_line := nullif(v_line, '')::int;
    END;
    IF verdict = 'updated' THEN
        SELECT d.* INTO detail
          FROM orders o CROSS JOIN LATERAL detail_of_order(o, p_prices_include_tax) d
         WHERE o.order_id = p_order_id;
    END IF;
    RETURN NEXT;
END $$;

-- One row: the verdict `cancelled` with the order (also when it was before), or not-found,
-- order-not-open (it is paid), precondition-failed.
CREATE FUNCTION cancel_order(p_actor text, p_order_id uuid, p_store_scope text, p_if_match text,
                             p_prices_include_tax bool)
RETURNS TABLE (verdict text, refused_line int, detail order_detail) LANGUAGE plpgsql AS $$
DECLARE
    v_old orders;
BEGIN
    SELECT * INTO v_old FROM orders o
     WHERE o.order_id = p_order_id AND (p_store_scope IS NULL OR o.store_id = p_store_scope)
       FOR NO KEY UPDATE;
    verdict := CASE WHEN NOT FOUND THEN 'not-found'
                    WHEN v_old.status = 'cancelled' THEN 'cancelled'
                    WHEN v_old.status = 'paid' THEN 'order-not-open'
                    WHEN NOT if_match_passes(p_if_match, v_old.version::text) THEN 'precondition-failed'
                    ELSE 'cancelled' END;
    IF verdict = 'cancelled' AND v_old.status = 'open' THEN
        UPDATE orders o SET status = 'cancelled', is_parked = false, updated_at = now(),
               version = o.version + 1
         WHERE o.order_id = p_order_id;
        INSERT INTO audit_log (actor, action, entity, entity_id, store_id, before, after)
        VALUES (p_actor, 'order.cancel', 'order', p_order_id, v_old.store_id,
                jsonb_build_object('status', 'open', 'version', v_old.version),
                jsonb_build_object('status', 'cancelled', 'version', v_old.version + 1));
    END IF;
    IF verdict = 'cancelled' THEN
        SELECT d.* INTO detail
          FROM orders o CROSS JOIN LATERAL detail_of_order(o, p_prices_include_tax) d
         WHERE o.order_id = p_order_id;
    END IF;
    RETURN NEXT;
END $$;

-- Makes a sale of an open order, in the order's store, of its items, customer and discount; the rest
-- is said as to record_sales, whose row is the answer. Verdicts besides its own: not-found,
-- order-not-open, precondition-failed. The same key again gives the same sale.
CREATE FUNCTION checkout_order(
    p_order_id uuid, p_store_scope text, p_if_match text,
    p_transaction_id uuid, p_scope text, p_key text, p_fingerprint bytea, p_register_id text,
    p_cashier_id text, p_payment_method text, p_expected_total_minor bigint,
    p_payment_methods text[], p_payment_amount_minor bigint[], p_payment_reference text[],
    p_currency text, p_prices_include_tax bool, p_time_zone text, p_business_day_start_s int)
RETURNS TABLE (
    sale_index int, verdict text, refused_line int,
    transaction_id uuid, recorded_at timestamptz, sold_at timestamptz, business_date date,
    store_id text, register_id text, cashier_id text, currency text, prices_include_tax bool,
    subtotal_minor bigint, discount_total_minor bigint, tax_total_minor bigint, total_minor bigint,
    change_minor bigint, payment_method text, status text, receipt_number bigint,
    item_product_ids uuid[], item_names text[], item_quantities_milli bigint[],
    item_unit_prices_minor bigint[], item_discounts_minor bigint[], item_tax_rates_micro int[],
    item_taxes_minor bigint[], item_totals_minor bigint[],
    payment_methods text[], payment_amounts_minor bigint[], payment_references text[],
    customer_id uuid, basket_discount_minor bigint, sold_offline bool, stock_exception bool,
    item_shortages_milli bigint[])
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    v_order orders;
    v_item  record;
    v_known bool; -- what the key stands for is this checkout; NULL: nothing
BEGIN
    SELECT * INTO v_order FROM orders o
     WHERE o.order_id = p_order_id AND (p_store_scope IS NULL OR o.store_id = p_store_scope)
       FOR NO KEY UPDATE;
    SELECT k.fingerprint = p_fingerprint INTO v_known
      FROM idempotency_keys k WHERE k.scope = p_scope AND k.key = p_key;
    verdict := CASE WHEN v_order.order_id IS NULL THEN 'not-found'
                    WHEN v_known THEN NULL
                    WHEN NOT v_known THEN 'idempotency-mismatch'
                    WHEN v_order.status <> 'open' THEN 'order-not-open'
                    WHEN NOT if_match_passes(p_if_match, v_order.version::text)
                    THEN 'precondition-failed' END;
    IF verdict IS NOT NULL THEN
        RETURN NEXT;
        RETURN;
    END IF;
    SELECT array_agg(1 ORDER BY i.line_no) AS sales, array_agg(i.product_id ORDER BY i.line_no) AS products,
           array_agg(i.quantity_milli ORDER BY i.line_no) AS quantities,
           array_agg(i.discount_minor ORDER BY i.line_no) AS discounts
      INTO v_item FROM order_items i WHERE i.order_id = p_order_id;
    RETURN QUERY
    SELECT r.sale_index, r.verdict, r.refused_line, r.transaction_id, r.recorded_at, r.sold_at,
           r.business_date, r.store_id, r.register_id, r.cashier_id, r.currency, r.prices_include_tax,
           r.subtotal_minor, r.discount_total_minor, r.tax_total_minor, r.total_minor, r.change_minor,
           r.payment_method, r.status, r.receipt_number, r.item_product_ids, r.item_names,
           r.item_quantities_milli, r.item_unit_prices_minor, r.item_discounts_minor,
           r.item_tax_rates_micro, r.item_taxes_minor, r.item_totals_minor, r.payment_methods,
           r.payment_amounts_minor, r.payment_references, r.customer_id, r.basket_discount_minor,
           r.sold_offline, r.stock_exception, r.item_shortages_milli
      FROM record_sales(
               ARRAY[p_transaction_id], ARRAY[p_scope], ARRAY[p_key], ARRAY[p_fingerprint],
               ARRAY[v_order.store_id], ARRAY[p_register_id], ARRAY[p_cashier_id],
               ARRAY[NULL::timestamptz], ARRAY[p_payment_method], ARRAY[p_expected_total_minor],
               ARRAY[v_order.customer_id], ARRAY[v_order.discount_minor], ARRAY[false],
               v_item.sales, v_item.products, v_item.quantities, v_item.discounts,
               array_fill(1, ARRAY[cardinality(p_payment_methods)]), p_payment_methods,
               p_payment_amount_minor, p_payment_reference,
               p_currency, p_prices_include_tax, p_time_zone, p_business_day_start_s) r;
    -- Recorded now: the key was free, and stands for this transaction.
    IF v_known IS NULL AND EXISTS (
           SELECT FROM idempotency_keys k
            WHERE k.scope = p_scope AND k.key = p_key AND k.fingerprint = p_fingerprint
              AND k.transaction_id = p_transaction_id) THEN
        UPDATE orders o
           SET status = 'paid', transaction_id = p_transaction_id, is_parked = false,
               updated_at = now(), version = o.version + 1
         WHERE o.order_id = p_order_id;
    END IF;
END $$;
