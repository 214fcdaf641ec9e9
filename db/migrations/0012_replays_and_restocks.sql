-- SPDX-License-Identifier: Apache-2.0
-- Mended in record_sales (0011), checkout_order (0009) and refund_sale (0010), which stay as they are but for
-- the lines below: 750 lines would hide them. Each must be found exactly once.

DO $mend$
DECLARE
    v_mend record;
    v_text text;
BEGIN
    FOR v_mend IN SELECT * FROM (VALUES

-- A sale whose key was its own transaction_id, sent again otherwise (in a batch, with its time): the same
-- store, register, lines and total make it the same sale, as they do when it had another key.
('record_sales',
$old$ELSIF NOT v_row.is_used AND v_row.id_is_same THEN$old$,
$new$ELSIF v_row.id_is_same
              AND (NOT v_row.is_used OR v_row.key_is_id AND v_row.stored_id = p_transaction_id[v_row.nth]) THEN$new$),
('record_sales',
$old$k.transaction_id AS stored_id,$old$,
$new$k.transaction_id AS stored_id, k.key = s.transaction_id::text AS key_is_id,$new$),

-- A checkout under the id of a sale that was recorded otherwise: it would be answered with that sale, and
-- the order would stay open and could be sold once more.
('checkout_order',
$old$WHEN v_order.status <> 'open' THEN 'order-not-open'$old$,
$new$WHEN v_order.status <> 'open' THEN 'order-not-open'
                    WHEN EXISTS (SELECT FROM transactions t WHERE t.transaction_id = p_transaction_id)
                    THEN 'idempotency-mismatch'$new$),

-- One line may be given twice, of which one piece goes back to the shelf and one does not.
('refund_sale',
$old$    v_restock    bool[];
$old$,
$new$    v_restock    bool[];
    v_back_milli bigint[]; -- of v_give_milli, what goes back to the shelf
$new$),
('refund_sale',
$old$        v_give_milli := v_give;
        v_give_tax$old$,
$new$        v_give_milli := v_give;
        v_back_milli := v_give;
        v_give_tax$new$),
('refund_sale',
$old$            v_give_milli := v_left_milli;
$old$,
$new$            v_give_milli := v_left_milli;
            v_back_milli := v_left_milli;
$new$),
('refund_sale',
$old$                v_restock[n] := p_line_restock[k];
$old$,
$new$                v_restock[n] := v_restock[n] OR p_line_restock[k];
                IF p_line_restock[k] THEN
                    v_back_milli[n] := v_back_milli[n] + p_line_quantity_milli[k];
                END IF;
$new$),

-- Stock and its movements in one statement: of a product that somebody begins to count meanwhile there is
-- neither or both.
('refund_sale',
$old$    UPDATE inventory i SET stock_milli = i.stock_milli + back.quantity_milli, updated_at = now()
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
$old$,
$new$    WITH restocked AS (
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
$new$)

    ) AS mend (function, old, new) LOOP
        v_text := pg_get_functiondef(v_mend.function::regproc);
        IF cardinality(string_to_array(v_text, v_mend.old)) <> 2 THEN
            RAISE 'not once in %: %', v_mend.function, v_mend.old;
        END IF;
        EXECUTE replace(v_text, v_mend.old, v_mend.new);
    END LOOP;
END $mend$;
