-- SPDX-License-Identifier: Apache-2.0
-- Mended in functions of 0009, 0010 and 0011, which stay as they are but for the lines below.

CREATE FUNCTION pg_temp.mend(p_function text, p_old text, p_new text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_text text := pg_get_functiondef(p_function::regproc);
BEGIN
    IF cardinality(string_to_array(v_text, p_old)) <> 2 THEN
        RAISE 'not once in %: %', p_function, p_old;
    END IF;
    EXECUTE replace(v_text, p_old, p_new);
END $$;

-- A sale whose key was its own transaction_id, sent again otherwise (in a batch, with its time): the same
-- store, register, lines and total make it the same sale, as they do when it had another key.
SELECT pg_temp.mend('record_sales',
$old$ELSIF NOT v_row.is_used AND v_row.id_is_same THEN$old$,
$new$ELSIF v_row.id_is_same
              AND (NOT v_row.is_used OR v_row.key_is_id AND v_row.stored_id = p_transaction_id[v_row.nth]) THEN$new$);
SELECT pg_temp.mend('record_sales',
$old$k.transaction_id AS stored_id,$old$,
$new$k.transaction_id AS stored_id, k.key = s.transaction_id::text AS key_is_id,$new$);

-- A checkout under the id of a sale that was recorded otherwise: it would be answered with that sale, and
-- the order would stay open and could be sold once more.
SELECT pg_temp.mend('checkout_order',
$old$WHEN v_order.status <> 'open' THEN 'order-not-open'$old$,
$new$WHEN v_order.status <> 'open' THEN 'order-not-open'
                    WHEN EXISTS (SELECT FROM transactions t WHERE t.transaction_id = p_transaction_id)
                    THEN 'idempotency-mismatch'$new$);

-- One line may be given twice, of which one piece goes back to the shelf and one does not.
SELECT pg_temp.mend('refund_sale',
$old$    v_restock    bool[];
$old$,
$new$    v_restock    bool[];
    v_back_milli bigint[]; -- of v_give_milli, what goes back to the shelf
$new$);
SELECT pg_temp.mend('refund_sale',
$old$        v_give_milli := v_give;
        v_give_tax$old$,
$new$        v_give_milli := v_give;
        v_back_milli := v_give;
        v_give_tax$new$);
SELECT pg_temp.mend('refund_sale',
$old$            v_give_milli := v_left_milli;
$old$,
$new$            v_give_milli := v_left_milli;
            v_back_milli := v_left_milli;
$new$);
SELECT pg_temp.mend('refund_sale',
$old$                v_restock[n] := p_line_restock[k];
$old$,
$new$                v_restock[n] := v_restock[n] OR p_line_restock[k];
                IF p_line_restock[k] THEN
                    v_back_milli[n] := v_back_milli[n] + p_line_quantity_milli[k];
                END IF;
$new$);

-- Stock and its movements in one statement: of a product that somebody begins to count meanwhile there is
-- neither or both.
SELECT pg_temp.mend('refund_sale',
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
$new$);

DROP FUNCTION pg_temp.mend(text, text, text);
