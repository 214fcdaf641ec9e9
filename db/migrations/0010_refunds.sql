-- SPDX-License-Identifier: Apache-2.0
-- Refunds and voids: what was given back, of which lines, and what went back to the shelf.
--
-- A sale never changes; what undoes it is a record of its own with a receipt number of its own
-- series. Money is given back line by line, also when an amount is asked for, so that every refund
-- has its taxes: what a line's refunds give back is exactly what the line cost once all of it is
-- back, and never more, in whatever steps.
--
-- Locks are taken in the order of record_sales (0003), with the sale between its key and the rest:
-- key, sale, register, stock.

CREATE TABLE refunds (
    refund_id       uuid        PRIMARY KEY,
    transaction_id  uuid        NOT NULL,
    kind            text        NOT NULL CHECK (kind IN ('refund', 'void')),
    recorded_at     timestamptz NOT NULL DEFAULT now(),
    business_date   date        NOT NULL,
    store_id        text        NOT NULL, -- the sale's
    register_id     text        NOT NULL,
    cashier_id      text        NOT NULL, -- who gave it back
    reason          text,
    currency        text        NOT NULL,
    tax_total_minor bigint      NOT NULL CHECK (tax_total_minor >= 0),
    total_minor     bigint      NOT NULL CHECK (total_minor >= 0),
    payment_method  text        NOT NULL,
    receipt_number  bigint      NOT NULL  -- registers.last_refund
);

CREATE INDEX refunds_transaction_idx ON refunds (transaction_id, refund_id);
CREATE INDEX refunds_store_date_idx ON refunds (store_id, business_date, refund_id);

CREATE TABLE refund_items (
    refund_id        uuid   NOT NULL,
    line_no          int    NOT NULL, -- of the sale, from 1
    product_id       uuid   NOT NULL,
    name             text   NOT NULL,
    quantity_milli   bigint NOT NULL CHECK (quantity_milli >= 0), -- 0: money only
    tax_minor        bigint NOT NULL CHECK (tax_minor >= 0),
    line_total_minor bigint NOT NULL CHECK (line_total_minor >= 0),
    restocked        bool   NOT NULL, -- asked for; moves stock where it is counted
    PRIMARY KEY (refund_id, line_no)
);

CREATE TRIGGER refunds_immutable BEFORE UPDATE OR DELETE ON refunds
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER refund_items_immutable BEFORE UPDATE OR DELETE ON refund_items
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- A refund as the API shows it.
CREATE VIEW recorded_refunds AS
SELECT r.refund_id, r.transaction_id, r.kind, r.recorded_at, r.business_date, r.store_id,
       r.register_id, r.cashier_id, r.reason, r.currency, r.tax_total_minor, r.total_minor,
       r.payment_method, r.receipt_number,
       i.item_line_nos, i.item_product_ids, i.item_names, i.item_quantities_milli,
       i.item_taxes_minor, i.item_totals_minor, i.item_restocked
  FROM refunds r
 CROSS JOIN LATERAL (
        SELECT coalesce(array_agg(line_no), '{}') AS item_line_nos,
               coalesce(array_agg(product_id), '{}') AS item_product_ids,
               coalesce(array_agg(name), '{}') AS item_names,
               coalesce(array_agg(quantity_milli), '{}') AS item_quantities_milli,
               coalesce(array_agg(tax_minor), '{}') AS item_taxes_minor,
               coalesce(array_agg(line_total_minor), '{}') AS item_totals_minor,
               coalesce(array_agg(restocked), '{}') AS item_restocked
          FROM (SELECT * FROM refund_items WHERE refund_id = r.refund_id ORDER BY line_no) line) i;

-- The lines of a sale, and what of each was not given back yet.
CREATE FUNCTION refundable_lines(p_transaction_id uuid)
RETURNS TABLE (line_no int, product_id uuid, name text, quantity_milli bigint, tax_minor bigint,
               total_minor bigint)
LANGUAGE sql STABLE AS $$
    SELECT i.line_no, i.product_id, i.name,
           (i.quantity_milli - coalesce(sum(b.quantity_milli), 0))::bigint,
           (i.tax_minor - coalesce(sum(b.tax_minor), 0))::bigint,
           (i.line_total_minor - coalesce(sum(b.line_total_minor), 0))::bigint
      FROM transaction_items i
      LEFT JOIN (refunds r JOIN refund_items b ON b.refund_id = r.refund_id)
             ON r.transaction_id = i.transaction_id AND b.line_no = i.line_no
     WHERE i.transaction_id = p_transaction_id
     GROUP BY i.transaction_id, i.line_no
     ORDER BY i.line_no
$$;

-- p_amount over the lines in proportion to what is left of each, half-even; the units that are then
-- missing or too many are the largest lines', one each, the first of equals (as spread_discounts).
CREATE FUNCTION spread_amount(p_left_minor bigint[], p_amount_minor bigint) RETURNS bigint[]
LANGUAGE sql IMMUTABLE AS $$
    WITH rounded AS (
        SELECT l.*, div_half_even(left_minor::numeric * p_amount_minor, sum(left_minor) OVER ())
                        AS share_minor
          FROM unnest(p_left_minor) WITH ORDINALITY AS l (left_minor, nth)
    ), missing AS (
        SELECT p_amount_minor - sum(share_minor) AS units FROM rounded
    ), ranked AS (
        SELECT rounded.*, units, CASE WHEN units > 0 THEN share_minor < left_minor
                                      ELSE share_minor > 0 END AS may_differ
          FROM rounded, missing
    )
    SELECT array_agg((share_minor + CASE WHEN may_differ AND rank <= abs(units) THEN sign(units)
                                         ELSE 0 END)::bigint ORDER BY nth)
      FROM (SELECT ranked.*, row_number() OVER (PARTITION BY may_differ
                                                ORDER BY left_minor DESC, nth) AS rank
              FROM ranked) r
$$;

-- Gives back: all of a sale (p_is_void), an amount (p_amount_minor), or lines. A line is named by its
-- number from 0 (p_line), else by its product (p_line_product). One row:
--   recorded, replayed             the refund
--   idempotency-mismatch, not-found, transaction-voided, transaction-refunded, void-too-late,
--   unknown-line, refund-exceeds   nothing happened; refused_line: from 0, as asked
-- A void needs no key (NULL): there is one of a sale, and whoever asks again gets it.
CREATE FUNCTION refund_sale(
    p_refund_id uuid, p_scope text, p_key text, p_fingerprint bytea,
    p_transaction_id uuid, p_store_id text, p_register_id text, p_is_void bool,
    p_amount_minor bigint, p_line int[], p_line_product uuid[], p_line_quantity_milli bigint[],
    p_line_restock bool[], p_reason text, p_payment_method text, p_time_zone text,
    p_business_day_start_s int)
RETURNS TABLE (
    verdict text, refused_line int, refund_id uuid, transaction_id uuid, kind text,
    recorded_at timestamptz, business_date date, store_id text, register_id text, cashier_id text,
    reason text, currency text, tax_total_minor bigint, total_minor bigint, payment_method text,
    receipt_number bigint,
    item_line_nos int[], item_product_ids uuid[], item_names text[], item_quantities_milli bigint[],
    item_taxes_minor bigint[], item_totals_minor bigint[], item_restocked bool[])
LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_seqscan = off
AS $$
#variable_conflict use_column
DECLARE
    v_verdict    text;
    v_line       int;
    v_shown      uuid := p_refund_id;
    v_stored     idempotency_keys;
    v_sale       transactions;
    v_today      date := (now() AT TIME ZONE p_time_zone
                          - make_interval(secs => p_business_day_start_s))::date;
    v_register   text;
    v_receipt    bigint;
    v_status     text;
    -- Per line of the sale: what is left, and what is given back now.
    v_left       bigint[];
    v_left_tax   bigint[];
    v_left_milli bigint[];
    v_products   uuid[];
    v_names      text[];
    v_give       bigint[];
    v_give_tax   bigint[];
    v_give_milli bigint[];
    v_restock    bool[];
    v_given      bool[];
    v_lines      int;
    n            int;
BEGIN
    IF p_key IS NOT NULL THEN
        INSERT INTO idempotency_keys (scope, key, fingerprint, transaction_id)
        VALUES (p_scope, p_key, p_fingerprint, p_refund_id) ON CONFLICT DO NOTHING;
        IF NOT FOUND THEN
            SELECT * INTO v_stored FROM idempotency_keys k WHERE k.scope = p_scope AND k.key = p_key;
            IF NOT FOUND THEN
                RAISE 'an idempotency key vanished' USING ERRCODE = 'serialization_failure';
            END IF;
            v_verdict := CASE WHEN v_stored.fingerprint = p_fingerprint THEN 'replayed'
                              ELSE 'idempotency-mismatch' END;
            RETURN QUERY SELECT v_verdict, NULL::int, r.*
              FROM (SELECT) nothing
              LEFT JOIN recorded_refunds r ON r.refund_id = v_stored.transaction_id
                                          AND v_verdict = 'replayed';
            RETURN;
        END IF;
    END IF;

    SELECT * INTO v_sale FROM transactions t
     WHERE t.transaction_id = p_transaction_id AND (p_store_id IS NULL OR t.store_id = p_store_id)
       FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        v_verdict := 'not-found';
    ELSIF v_sale.status = 'voided' THEN
        v_verdict := CASE WHEN p_is_void AND p_key IS NULL THEN 'replayed' ELSE 'transaction-voided' END;
        SELECT r.refund_id INTO v_shown FROM refunds r
         WHERE r.transaction_id = p_transaction_id AND r.kind = 'void';
    ELSIF p_is_void AND v_sale.status <> 'completed' THEN
        v_verdict := 'transaction-refunded';
    ELSIF p_is_void AND v_sale.business_date <> v_today THEN
        v_verdict := 'void-too-late';
    END IF;

    IF v_verdict IS NULL THEN
        SELECT count(*), array_agg(l.total_minor), array_agg(l.tax_minor), array_agg(l.quantity_milli),
               array_agg(l.product_id), array_agg(l.name)
          INTO v_lines, v_left, v_left_tax, v_left_milli, v_products, v_names
          FROM refundable_lines(p_transaction_id) l;
        v_give := array_fill(0::bigint, ARRAY[v_lines]);
        v_give_milli := v_give;
        v_give_tax := v_give;
        v_restock := array_fill(false, ARRAY[v_lines]);
        v_given := v_restock;
        IF p_is_void THEN
            v_give := v_left;
            v_give_milli := v_left_milli;
            v_restock := array_fill(true, ARRAY[v_lines]);
            v_given := v_restock;
        ELSIF p_amount_minor IS NOT NULL THEN
            IF p_amount_minor > (SELECT sum(m) FROM unnest(v_left) m) THEN
                v_verdict := 'refund-exceeds';
            ELSE
                v_give := spread_amount(v_left, p_amount_minor);
            END IF;
        ELSE
            FOR k IN 1 .. cardinality(p_line) LOOP
                n := coalesce(p_line[k] + 1,
                              (SELECT min(m) FROM generate_series(1, v_lines) m
                                WHERE v_products[m] = p_line_product[k]
                                  AND v_left_milli[m] - v_give_milli[m] >= p_line_quantity_milli[k]),
                              array_position(v_products, p_line_product[k]));
                v_verdict := CASE
                    WHEN n IS NULL OR n NOT BETWEEN 1 AND v_lines THEN 'unknown-line'
                    WHEN v_give_milli[n] + p_line_quantity_milli[k] > v_left_milli[n]
                    THEN 'refund-exceeds' END;
                IF v_verdict IS NOT NULL THEN
                    v_line := k - 1;
                    EXIT;
                END IF;
                v_give_milli[n] := v_give_milli[n] + p_line_quantity_milli[k];
                v_restock[n] := p_line_restock[k];
                v_given[n] := true;
            END LOOP;
        END IF;
    END IF;
    IF v_verdict IS NOT NULL THEN
        DELETE FROM idempotency_keys k
         WHERE k.scope = p_scope AND k.key = p_key AND k.transaction_id = p_refund_id;
        RETURN QUERY SELECT v_verdict, v_line, r.*
          FROM (SELECT) nothing
          LEFT JOIN recorded_refunds r ON r.refund_id = v_shown AND v_verdict = 'replayed';
        RETURN;
    END IF;

    -- Money and taxes in proportion to what is left: the last step gives exactly the rest.
    FOR m IN 1 .. v_lines LOOP
        IF NOT p_is_void AND p_amount_minor IS NULL AND v_give_milli[m] > 0 THEN
            v_give[m] := div_half_even(v_left[m]::numeric * v_give_milli[m], v_left_milli[m]);
        END IF;
        v_given[m] := v_given[m] OR v_give[m] > 0;
        IF v_give[m] > 0 THEN
            v_give_tax[m] := div_half_even(v_left_tax[m]::numeric * v_give[m], v_left[m]);
        END IF;
    END LOOP;

    v_register := coalesce(p_register_id, v_sale.register_id);
    INSERT INTO registers AS g (store_id, register_id, last_receipt, last_refund)
    VALUES (v_sale.store_id, v_register, 0, 1)
    ON CONFLICT (store_id, register_id) DO UPDATE SET last_refund = g.last_refund + 1
    RETURNING g.last_refund INTO v_receipt;

    PERFORM FROM inventory i
      WHERE i.store_id = v_sale.store_id
        AND i.product_id IN (SELECT v_products[m] FROM generate_series(1, v_lines) m
                              WHERE v_restock[m] AND v_give_milli[m] > 0)
      ORDER BY i.product_id
        FOR NO KEY UPDATE;

    INSERT INTO refunds (refund_id, transaction_id, kind, business_date, store_id, register_id,
           cashier_id, reason, currency, tax_total_minor, total_minor, payment_method, receipt_number)
    SELECT p_refund_id, p_transaction_id, CASE WHEN p_is_void THEN 'void' ELSE 'refund' END, v_today,
           v_sale.store_id, v_register, p_scope, p_reason, v_sale.currency,
           (SELECT sum(m) FROM unnest(v_give_tax) m), (SELECT sum(m) FROM unnest(v_give) m),
           coalesce(p_payment_method, v_sale.payment_method), v_receipt;
    INSERT INTO refund_items (refund_id, line_no, product_id, name, quantity_milli, tax_minor,
           line_total_minor, restocked)
    SELECT p_refund_id, m, v_products[m], v_names[m], v_give_milli[m], v_give_tax[m], v_give[m],
           v_restock[m] AND v_give_milli[m] > 0
      FROM generate_series(1, v_lines) m WHERE v_given[m];

    UPDATE inventory i SET stock_milli = i.stock_milli + back.quantity_milli, updated_at = now()
      FROM (SELECT v_products[m] AS product_id, sum(v_give_milli[m]) AS quantity_milli
              FROM generate_series(1, v_lines) m WHERE v_restock[m] AND v_give_milli[m] > 0
             GROUP BY v_products[m]) back
     WHERE i.store_id = v_sale.store_id AND i.product_id = back.product_id;
    INSERT INTO inventory_movements (store_id, product_id, quantity_milli, kind, reference, principal)
    SELECT i.store_id, i.product_id, v_give_milli[m], CASE WHEN p_is_void THEN 'void' ELSE 'refund' END,
           p_refund_id, p_scope
      FROM generate_series(1, v_lines) m
      JOIN inventory i ON i.store_id = v_sale.store_id AND i.product_id = v_products[m]
     WHERE v_restock[m] AND v_give_milli[m] > 0;

    -- Refunded: all its money is back, or all its goods. A gift has no money to give back.
    SELECT CASE WHEN p_is_void THEN 'voided'
                WHEN v_sale.total_minor > 0 AND sum(l.total_minor) = 0
                  OR sum(l.quantity_milli) = 0 THEN 'refunded'
                ELSE 'partially_refunded' END INTO v_status
      FROM refundable_lines(p_transaction_id) l;
    UPDATE transactions t SET status = v_status
     WHERE t.transaction_id = p_transaction_id AND t.status <> v_status;
    INSERT INTO outbox (kind, store_id, reference)
    VALUES (CASE WHEN p_is_void THEN 'transaction.voided' ELSE 'transaction.refunded' END,
            v_sale.store_id, p_refund_id);
    INSERT INTO audit_log (actor, action, entity, entity_id, store_id, before, after)
    VALUES (p_scope, CASE WHEN p_is_void THEN 'transaction.void' ELSE 'transaction.refund' END,
            'transaction', p_transaction_id, v_sale.store_id,
            jsonb_build_object('status', v_sale.status),
            jsonb_build_object('status', v_status, 'refundId', p_refund_id, 'reason', p_reason,
                               'totalMinor', (SELECT sum(m) FROM unnest(v_give) m)));
    RETURN QUERY SELECT 'recorded', NULL::int, r.* FROM recorded_refunds r
                  WHERE r.refund_id = p_refund_id;
END $$;

-- The sales of a page of the list, per store in its order: the newest business day first, of a day
-- the newest id. p_store_id NULL: of every store (registers knows them all, and has few rows). What
-- is asked for decides which index is walked backwards from the place of p_after on; the settings
-- see to it that it is walked: without values the planner takes these ranges for a few rows, and
-- would read and sort a whole store.
CREATE FUNCTION transaction_page(
    p_store_id text, p_first date, p_last date, p_cashier_id text, p_status text,
    p_payment_method text, p_after uuid, p_limit int)
RETURNS TABLE (transaction_id uuid, business_date date)
LANGUAGE plpgsql STABLE ROWS 100
SET plan_cache_mode = force_generic_plan
SET enable_bitmapscan = off
SET enable_seqscan = off
AS $$
#variable_conflict use_column
DECLARE
    v_store text := p_store_id;
    v_day   date := 'infinity';
    v_id    uuid := coalesce(p_after, 'ffffffff-ffff-ffff-ffff-ffffffffffff');
BEGIN
    IF p_after IS NOT NULL THEN
        SELECT t.business_date INTO v_day FROM transactions t
         WHERE t.transaction_id = p_after AND (p_store_id IS NULL OR t.store_id = p_store_id);
    END IF;
    IF p_store_id IS NULL THEN
        SELECT min(r.store_id) INTO v_store FROM registers r;
    END IF;
    WHILE v_store IS NOT NULL AND v_day IS NOT NULL LOOP
        IF p_status <> 'completed' THEN
            RETURN QUERY
            SELECT t.transaction_id, t.business_date FROM transactions t
             WHERE t.store_id = v_store AND t.status = p_status AND t.status <> 'completed'
               AND (t.business_date, t.transaction_id) < (v_day, v_id)
               AND t.business_date BETWEEN p_first AND p_last
               AND (p_cashier_id IS NULL OR t.cashier_id = p_cashier_id)
               AND (p_payment_method IS NULL OR t.payment_method = p_payment_method)
             ORDER BY t.business_date DESC, t.transaction_id DESC LIMIT p_limit;
        ELSIF p_cashier_id IS NOT NULL THEN
            RETURN QUERY
            SELECT t.transaction_id, t.business_date FROM transactions t
             WHERE t.store_id = v_store AND t.cashier_id = p_cashier_id
               AND (t.business_date, t.transaction_id) < (v_day, v_id)
               AND t.business_date BETWEEN p_first AND p_last
               AND (p_status IS NULL OR t.status = p_status)
               AND (p_payment_method IS NULL OR t.payment_method = p_payment_method)
             ORDER BY t.business_date DESC, t.transaction_id DESC LIMIT p_limit;
        ELSIF p_payment_method IS NOT NULL THEN
            RETURN QUERY
            SELECT t.transaction_id, t.business_date FROM transactions t
             WHERE t.store_id = v_store AND t.payment_method = p_payment_method
               AND (t.business_date, t.transaction_id) < (v_day, v_id)
               AND t.business_date BETWEEN p_first AND p_last
               AND (p_status IS NULL OR t.status = p_status)
             ORDER BY t.business_date DESC, t.transaction_id DESC LIMIT p_limit;
        ELSE
            RETURN QUERY
            SELECT t.transaction_id, t.business_date FROM transactions t
             WHERE t.store_id = v_store
               AND (t.business_date, t.transaction_id) < (v_day, v_id)
               AND t.business_date BETWEEN p_first AND p_last
               AND (p_status IS NULL OR t.status = p_status)
             ORDER BY t.business_date DESC, t.transaction_id DESC LIMIT p_limit;
        END IF;
        EXIT WHEN p_store_id IS NOT NULL;
        SELECT min(r.store_id) INTO v_store FROM registers r WHERE r.store_id > v_store;
    END LOOP;
END $$;
