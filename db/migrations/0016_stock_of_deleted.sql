-- SPDX-License-Identifier: Apache-2.0
-- write_stock_document and set_stock_level whole. Mended: what a store still had of a product when it was
-- deleted, and what customers bring back of it, could never be counted down, written off or sent away. A level
-- that there is can be changed; a deleted product gets no new one, but where a transfer brings it.

-- The work of move_stock: locks, judges and writes, or refuses.
CREATE OR REPLACE FUNCTION write_stock_document(
    p_document_id uuid, p_kind text, p_store_id text, p_to_store_id text, p_any_store bool,
    p_note text, p_principal text, p_product uuid[], p_quantity_milli bigint[])
RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    v_line  bigint;
    v_delta bigint[]; -- of p_store_id, line by line
BEGIN
    SELECT min(l.nth) INTO v_line
      FROM unnest(p_product) WITH ORDINALITY AS l (product_id, nth)
     WHERE NOT EXISTS (SELECT FROM products p
                        WHERE p.product_id = l.product_id AND p.deleted_at IS NULL)
       AND NOT EXISTS (SELECT FROM inventory i
                        WHERE i.store_id = p_store_id AND i.product_id = l.product_id);
    IF v_line IS NOT NULL THEN
        PERFORM refuse('unknown-product', v_line - 1);
    END IF;
    SELECT min(l.nth) INTO v_line
      FROM (SELECT nth, row_number() OVER (PARTITION BY product_id ORDER BY nth) AS repetition
              FROM unnest(p_product) WITH ORDINALITY AS u (product_id, nth)) l
     WHERE l.repetition > 1;
    IF v_line IS NOT NULL THEN
        PERFORM refuse('duplicate-product', v_line - 1);
    END IF;
    IF p_to_store_id IS NOT NULL AND NOT p_any_store
       AND NOT EXISTS (SELECT FROM inventory i WHERE i.store_id = p_to_store_id) THEN
        PERFORM refuse('unknown-store');
    END IF;

    -- What comes into a store is counted there from then on; what leaves must have been.
    INSERT INTO inventory (store_id, product_id, stock_milli)
    SELECT coalesce(p_to_store_id, p_store_id), l.product_id, 0
      FROM unnest(p_product) AS l (product_id)
     ORDER BY l.product_id
    ON CONFLICT DO NOTHING;
    PERFORM FROM inventory i
      WHERE i.store_id IN (p_store_id, p_to_store_id) AND i.product_id = ANY (p_product)
      ORDER BY i.store_id, i.product_id
        FOR NO KEY UPDATE;

    SELECT array_agg(CASE p_kind WHEN 'count' THEN l.quantity_milli - i.stock_milli
                                 WHEN 'transfer' THEN -l.quantity_milli
                                 ELSE l.quantity_milli END ORDER BY l.nth),
           min(l.nth) FILTER (WHERE coalesce(i.stock_milli, 0)
               + CASE p_kind WHEN 'count' THEN 0 WHEN 'transfer' THEN -l.quantity_milli
                             ELSE l.quantity_milli END < 0)
      INTO v_delta, v_line
      FROM unnest(p_product, p_quantity_milli) WITH ORDINALITY AS l (product_id, quantity_milli, nth)
      LEFT JOIN inventory i ON i.store_id = p_store_id AND i.product_id = l.product_id;
    IF v_line IS NOT NULL THEN
        PERFORM refuse('insufficient-stock', v_line - 1);
    END IF;
    SELECT min(m.nth) INTO v_line
      FROM unnest(p_product, v_delta) WITH ORDINALITY AS m (product_id, delta_milli, nth)
      JOIN inventory i ON i.product_id = m.product_id
                      AND i.store_id = coalesce(p_to_store_id, p_store_id)
     WHERE i.stock_milli + CASE WHEN p_to_store_id IS NULL THEN m.delta_milli ELSE -m.delta_milli END
           > 999999999999999;
    IF v_line IS NOT NULL THEN
        PERFORM refuse('amount-out-of-range', v_line - 1);
    END IF;

    WITH movement AS (
        SELECT p_store_id AS store_id, m.product_id, m.delta_milli
          FROM unnest(p_product, v_delta) AS m (product_id, delta_milli)
         UNION ALL
        SELECT p_to_store_id, m.product_id, -m.delta_milli
          FROM unnest(p_product, v_delta) AS m (product_id, delta_milli)
         WHERE p_to_store_id IS NOT NULL
    ), levels_written AS (
        UPDATE inventory i SET stock_milli = i.stock_milli + m.delta_milli, updated_at = now()
          FROM movement m
         WHERE i.store_id = m.store_id AND i.product_id = m.product_id
    )
    INSERT INTO inventory_movements (store_id, product_id, quantity_milli, kind, reference, principal)
    SELECT m.store_id, m.product_id, m.delta_milli, p_kind, p_document_id, p_principal
      FROM movement m;

    INSERT INTO stock_documents (document_id, kind, store_id, to_store_id, note, principal,
                                 product_ids, quantities_milli, stocks_milli)
    SELECT p_document_id, p_kind, p_store_id, p_to_store_id, p_note, p_principal,
           p_product, p_quantity_milli, array_agg(i.stock_milli ORDER BY l.nth)
      FROM unnest(p_product) WITH ORDINALITY AS l (product_id, nth)
      JOIN inventory i ON i.store_id = p_store_id AND i.product_id = l.product_id;
    INSERT INTO audit_log (actor, action, entity, entity_id, store_id, after)
    VALUES (p_principal, 'stock.' || p_kind, 'stock_document', p_document_id, p_store_id,
            jsonb_build_object('toStoreId', p_to_store_id, 'note', p_note,
                               'productIds', to_jsonb(p_product),
                               'quantitiesMilli', to_jsonb(p_quantity_milli)));
END $$;

-- Sets a product's level in a store: the stock as counted, the mark at which it is low, or both.
-- verdict: `written`, `created`, `unknown-product`, `precondition-failed`, or `stock-required` (nobody counts
-- the product there yet, and no stock is given to begin with); the level comes with the first two.
CREATE OR REPLACE FUNCTION set_stock_level(
    p_store_id text, p_product_id uuid, p_stock_milli bigint,
    p_set_low_stock_at bool, p_low_stock_at_milli bigint, p_if_match text, p_principal text)
RETURNS TABLE (
    verdict text, store_id text, product_id uuid, name text, sku text, barcode text,
    stock_milli bigint, low_stock_at_milli bigint, updated_at timestamptz, tag text)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    v_verdict text := 'written';
    v_old     record;
    v_new     record;
BEGIN
    IF NOT EXISTS (SELECT FROM inventory i
                    WHERE i.store_id = p_store_id AND i.product_id = p_product_id) THEN
        IF NOT EXISTS (SELECT FROM products p
                        WHERE p.product_id = p_product_id AND p.deleted_at IS NULL) THEN
            v_verdict := 'unknown-product';
        ELSIF p_if_match IS NOT NULL THEN
            v_verdict := 'precondition-failed';
        ELSIF p_stock_milli IS NULL THEN
            v_verdict := 'stock-required';
        ELSE
            INSERT INTO inventory (store_id, product_id, stock_milli)
            VALUES (p_store_id, p_product_id, 0) ON CONFLICT DO NOTHING;
            v_verdict := 'created';
        END IF;
    END IF;
    IF v_verdict IN ('written', 'created') THEN
        SELECT i.stock_milli, i.low_stock_at_milli INTO v_old FROM inventory i
         WHERE i.store_id = p_store_id AND i.product_id = p_product_id FOR NO KEY UPDATE;
        IF NOT (SELECT if_match_passes(p_if_match, l.tag) FROM inventory_levels l
                 WHERE l.store_id = p_store_id AND l.product_id = p_product_id) THEN
            v_verdict := 'precondition-failed';
        END IF;
    END IF;
    IF v_verdict IN ('written', 'created') THEN
        UPDATE inventory i
           SET stock_milli = coalesce(p_stock_milli, i.stock_milli),
               low_stock_at_milli = CASE WHEN p_set_low_stock_at THEN p_low_stock_at_milli
                                         ELSE i.low_stock_at_milli END,
               updated_at = now()
         WHERE i.store_id = p_store_id AND i.product_id = p_product_id
        RETURNING i.stock_milli, i.low_stock_at_milli INTO v_new;
        IF p_stock_milli IS NOT NULL THEN
            INSERT INTO inventory_movements (store_id, product_id, quantity_milli, kind, principal)
            VALUES (p_store_id, p_product_id, p_stock_milli - v_old.stock_milli, 'count', p_principal);
        END IF;
        INSERT INTO audit_log (actor, action, entity, entity_id, store_id, before, after)
        VALUES (p_principal, 'stock.level', 'inventory', p_product_id, p_store_id,
                jsonb_build_object('stockMilli', v_old.stock_milli,
                                   'lowStockAtMilli', v_old.low_stock_at_milli),
                jsonb_build_object('stockMilli', v_new.stock_milli,
                                   'lowStockAtMilli', v_new.low_stock_at_milli));
    END IF;
    RETURN QUERY
    SELECT v_verdict, l.store_id, l.product_id, l.name, l.sku, l.barcode, l.stock_milli,
           l.low_stock_at_milli, l.updated_at, l.tag
      FROM (VALUES (v_verdict IN ('written', 'created'))) AS v (is_done)
      LEFT JOIN inventory_levels l
             ON v.is_done AND l.store_id = p_store_id AND l.product_id = p_product_id;
END $$;
