-- SPDX-License-Identifier: Apache-2.0
-- refund_sale whole, with what 0012 mended in it. Mended now:
-- - of a product that stands on several lines more could not be given back at once than one of them had;
-- - the void of an offline sale put back what the stock had lacked, and so had never been taken from it;
-- - a sale just behind midnight by its till's clock could not be voided before midnight.

-- Gives back: all of a sale (p_is_void), an amount (p_amount_minor), or lines. A line is named by its
-- number from 0 (p_line), else by its product (p_line_product). One row:
--   recorded, replayed             the refund
--   idempotency-mismatch, not-found, transaction-voided, transaction-refunded, void-too-late,
--   unknown-line, refund-exceeds   nothing happened; refused_line: from 0, as asked
-- A void needs no key (NULL): there is one of a sale, and whoever asks again gets it.
CREATE OR REPLACE FUNCTION refund_sale(
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
    v_back_milli bigint[]; -- of v_give_milli, what goes back to the shelf
    v_given      bool[];
    v_lines      int;
    v_wanted     bigint; -- of an item, what no line has given yet
    v_piece      bigint;
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
    ELSIF p_is_void AND v_sale.business_date < v_today THEN
        v_verdict := 'void-too-late';
    END IF;

    IF v_verdict IS NULL THEN
        SELECT count(*), array_agg(l.total_minor), array_agg(l.tax_minor), array_agg(l.quantity_milli),
               array_agg(l.product_id), array_agg(l.name)
          INTO v_lines, v_left, v_left_tax, v_left_milli, v_products, v_names
          FROM refundable_lines(p_transaction_id) l;
        v_give := array_fill(0::bigint, ARRAY[v_lines]);
        v_give_milli := v_give;
        v_back_milli := v_give;
        v_give_tax := v_give;
        v_given := array_fill(false, ARRAY[v_lines]);
        IF p_is_void THEN
            v_give := v_left;
            v_give_milli := v_left_milli;
            -- As it was: of what the stock had lacked nothing was taken from it.
            SELECT array_agg(i.quantity_milli - i.shortage_milli ORDER BY i.line_no) INTO v_back_milli
              FROM transaction_items i WHERE i.transaction_id = p_transaction_id;
            v_today := greatest(v_today, v_sale.business_date);
            v_given := array_fill(true, ARRAY[v_lines]);
        ELSIF p_amount_minor IS NOT NULL THEN
            IF p_amount_minor > (SELECT sum(m) FROM unnest(v_left) m) THEN
                v_verdict := 'refund-exceeds';
            ELSE
                v_give := spread_amount(v_left, p_amount_minor);
            END IF;
        ELSE
            FOR k IN 1 .. cardinality(p_line) LOOP
                -- A product stands on one line or on several: it comes from the first that has enough
                -- left, else from all of them.
                v_wanted := p_line_quantity_milli[k];
                FOR n IN SELECT m FROM generate_series(1, v_lines) m
                          WHERE m = p_line[k] + 1 OR p_line[k] IS NULL AND v_products[m] = p_line_product[k]
                          ORDER BY v_left_milli[m] - v_give_milli[m] < v_wanted, m
                LOOP
                    v_piece := least(v_wanted, v_left_milli[n] - v_give_milli[n]);
                    CONTINUE WHEN v_piece = 0;
                    v_wanted := v_wanted - v_piece;
                    v_give_milli[n] := v_give_milli[n] + v_piece;
                    v_given[n] := true;
                    IF p_line_restock[k] THEN
                        v_back_milli[n] := v_back_milli[n] + v_piece;
                    END IF;
                END LOOP;
                v_verdict := CASE WHEN NOT FOUND THEN 'unknown-line'
                                  WHEN v_wanted > 0 THEN 'refund-exceeds' END;
                IF v_verdict IS NOT NULL THEN
                    v_line := k - 1;
                    EXIT;
                END IF;
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
                              WHERE v_back_milli[m] > 0)
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
           v_back_milli[m] > 0
      FROM generate_series(1, v_lines) m WHERE v_given[m];

    WITH restocked AS (
        UPDATE inventory i SET stock_milli = i.stock_milli + back.quantity_milli, updated_at = now()
          FROM (SELECT v_products[m] AS product_id, sum(v_back_milli[m]) AS quantity_milli
                  FROM generate_series(1, v_lines) m WHERE v_back_milli[m] > 0
                 GROUP BY v_products[m]) back
         WHERE i.store_id = v_sale.store_id AND i.product_id = back.product_id
        RETURNING i.product_id)
    INSERT INTO inventory_movements (store_id, product_id, quantity_milli, kind, reference, principal)
    SELECT v_sale.store_id, v_products[m], v_back_milli[m],
           CASE WHEN p_is_void THEN 'void' ELSE 'refund' END, p_refund_id, p_scope
      FROM generate_series(1, v_lines) m
      JOIN restocked ON restocked.product_id = v_products[m]
     WHERE v_back_milli[m] > 0;

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
