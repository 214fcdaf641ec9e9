-- SPDX-License-Identifier: Apache-2.0
-- Stock by hand: what is received, counted, adjusted and sent to another store, and what is low.
--
-- Locks are taken in the order of record_sales (0003): the idempotency key, then the rows of
-- inventory by (store_id, product_id). Rows that do not exist yet are inserted, in the same order,
-- before any row is locked, and nobody who holds a locked row inserts; so no two calls wait for
-- each other.

-- The products that are low in a store. A table beside inventory, because an index over stock_milli
-- would make every sale write to all indexes (0001); this one is written when a level crosses its
-- mark. Whoever writes here has locked the row of inventory.
CREATE TABLE low_stock (
    store_id   text        NOT NULL,
    product_id uuid        NOT NULL,
    low_since  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (store_id, product_id)
);

CREATE FUNCTION note_low_stock() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.stock_milli <= NEW.low_stock_at_milli THEN
        INSERT INTO low_stock (store_id, product_id) VALUES (NEW.store_id, NEW.product_id)
        ON CONFLICT DO NOTHING;
    ELSE
        DELETE FROM low_stock l WHERE l.store_id = NEW.store_id AND l.product_id = NEW.product_id;
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER inventory_low_from_start AFTER INSERT ON inventory FOR EACH ROW
    WHEN (NEW.stock_milli <= NEW.low_stock_at_milli) EXECUTE FUNCTION note_low_stock();
-- A sale pays for the comparison only.
CREATE TRIGGER inventory_low_crossed AFTER UPDATE ON inventory FOR EACH ROW
    WHEN (coalesce(OLD.stock_milli <= OLD.low_stock_at_milli, false)
          <> coalesce(NEW.stock_milli <= NEW.low_stock_at_milli, false))
    EXECUTE FUNCTION note_low_stock();

INSERT INTO low_stock (store_id, product_id)
SELECT store_id, product_id FROM inventory WHERE stock_milli <= low_stock_at_milli;

-- A level as the API shows it. tag names this state (the ETag without its quotes).
CREATE VIEW inventory_levels AS
SELECT i.store_id, i.product_id, p.name, p.sku, p.barcode, i.stock_milli, i.low_stock_at_milli,
       i.updated_at, p.deleted_at AS product_deleted_at,
       (extract(epoch FROM i.updated_at) * 1000000)::bigint || '-' || i.stock_milli || '-' || p.version
           AS tag
  FROM inventory i
  JOIN products p USING (product_id);

-- What one call of move_stock moved, as it was answered. stocks_milli: of store_id, afterwards.
CREATE TABLE stock_documents (
    document_id      uuid        PRIMARY KEY,
    kind             text        NOT NULL CHECK (kind IN ('receive', 'count', 'adjust', 'transfer')),
    store_id         text        NOT NULL,
    to_store_id      text        CHECK ((kind = 'transfer') = (to_store_id IS NOT NULL)),
    note             text,
    principal        text        NOT NULL,
    created_at       timestamptz NOT NULL DEFAULT now(),
    product_ids      uuid[]      NOT NULL,
    quantities_milli bigint[]    NOT NULL,
    stocks_milli     bigint[]    NOT NULL
);

CREATE TRIGGER stock_documents_immutable BEFORE UPDATE OR DELETE ON stock_documents
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Ends a call without effect: the caller catches TWREF around everything it wrote.
CREATE FUNCTION refuse(p_verdict text, p_line bigint DEFAULT NULL) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = 'TWREF', MESSAGE = p_verdict, DETAIL = coalesce(p_line::text, '');
END $$;

-- Does If-Match let a change of the state `p_tag` pass (RFC 9110 §13.1.1)? NULL: there was none.
-- Compared strongly: a weak tag matches nothing. A client that took the gzip coding has its tag.
CREATE FUNCTION if_match_passes(p_if_match text, p_tag text) RETURNS bool
    LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT p_if_match IS NULL OR p_if_match = '*'
           OR ARRAY['"' || p_tag || '"', '"' || p_tag || '-gzip"']
              && regexp_split_to_array(p_if_match, '\s*,\s*')
$$;

-- The work of move_stock: locks, judges and writes, or refuses.
CREATE FUNCTION write_stock_document(
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
                        WHERE p.product_id = l.product_id AND p.deleted_at IS NULL);
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

-- Moves stock once per idempotency key. One row: the verdict `recorded`, `replayed` or a refusal,
-- the line it names (from 0), and the document. A refusal leaves nothing behind.
CREATE FUNCTION move_stock(
    p_document_id uuid, p_scope text, p_key text, p_fingerprint bytea,
    p_kind text, p_store_id text, p_to_store_id text, p_any_store bool,
    p_note text, p_principal text, p_product uuid[], p_quantity_milli bigint[])
RETURNS TABLE (
    verdict text, refused_line int,
    document_id uuid, kind text, store_id text, to_store_id text, note text, principal text,
    created_at timestamptz, product_ids uuid[], quantities_milli bigint[], stocks_milli bigint[])
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    v_verdict text := 'recorded';
    v_line    text;
    v_key     record;
BEGIN
    INSERT INTO idempotency_keys (scope, key, fingerprint, transaction_id)
    VALUES (p_scope, p_key, p_fingerprint, p_document_id)
    ON CONFLICT DO NOTHING;
    IF FOUND THEN
        BEGIN
            PERFORM write_stock_document(p_document_id, p_kind, p_store_id, p_to_store_id,
                                         p_any_store, p_note, p_principal, p_product,
                                         p_quantity_milli);
        EXCEPTION WHEN SQLSTATE 'TWREF' THEN
            GET STACKED DIAGNOSTICS v_verdict = MESSAGE_TEXT, v_line = PG_EXCEPTION_DETAIL;
            DELETE FROM idempotency_keys k WHERE k.scope = p_scope AND k.key = p_key;
        END;
    ELSE
        SELECT k.fingerprint = p_fingerprint AS is_same, k.transaction_id AS document_id INTO v_key
          FROM idempotency_keys k WHERE k.scope = p_scope AND k.key = p_key;
        IF NOT FOUND THEN -- housekeeping removed it since
            RAISE 'an idempotency key vanished' USING ERRCODE = 'serialization_failure';
        END IF;
        v_verdict := CASE WHEN v_key.is_same THEN 'replayed' ELSE 'idempotency-mismatch' END;
        p_document_id := v_key.document_id;
    END IF;
    RETURN QUERY
    SELECT v_verdict, nullif(v_line, '')::int, d.*
      FROM (VALUES (v_verdict IN ('recorded', 'replayed'))) AS v (is_done)
      LEFT JOIN (SELECT document_id, kind, store_id, to_store_id, note, principal, created_at,
                        product_ids, quantities_milli, stocks_milli FROM stock_documents) d
             ON v.is_done AND d.document_id = p_document_id;
END $$;

-- Sets a product's level in a store: the stock as counted, the mark at which it is low, or both.
-- verdict: `written`, `created`, `unknown-product`, `precondition-failed`, or `stock-required` (nobody counts
-- the product there yet, and no stock is given to begin with); the level comes with the first two.
CREATE FUNCTION set_stock_level(
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
    IF NOT EXISTS (SELECT FROM products p WHERE p.product_id = p_product_id AND p.deleted_at IS NULL) THEN
        v_verdict := 'unknown-product';
    ELSIF NOT EXISTS (SELECT FROM inventory i
                       WHERE i.store_id = p_store_id AND i.product_id = p_product_id) THEN
        IF p_if_match IS NOT NULL THEN
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
