-- SPDX-License-Identifier: Apache-2.0
-- Of a sale whose payments do not cover its total (0018) no more is given back than was taken. refund_sale
-- (0015) stays as it is but for the lines below. A void is the sale once more with the sign changed, as ever.

DO $mend$
DECLARE
    v_mend record;
    v_text text;
BEGIN
    FOR v_mend IN SELECT * FROM (VALUES

('refund_sale',
$old$    v_lines      int;
$old$,
$new$    v_lines      int;
    v_taken      bigint; -- of an amount_exception: the money that came in, and what is left of it
    v_kept       bigint;
$new$),
('refund_sale',
$old$        IF p_is_void THEN
            v_give := v_left;
$old$,
$new$        IF v_sale.amount_exception AND NOT p_is_void THEN
            SELECT sum(p.amount_minor) - v_sale.change_minor INTO v_taken
              FROM payments p WHERE p.transaction_id = p_transaction_id;
            v_kept := v_taken - (SELECT coalesce(sum(r.total_minor), 0) FROM refunds r
                                  WHERE r.transaction_id = p_transaction_id);
        END IF;
        IF p_is_void THEN
            v_give := v_left;
$new$),
('refund_sale',
$old$            IF p_amount_minor > (SELECT sum(m) FROM unnest(v_left) m) THEN
$old$,
$new$            IF p_amount_minor > least((SELECT sum(m) FROM unnest(v_left) m), v_kept) THEN
$new$),
('refund_sale',
$old$            v_give[m] := div_half_even(v_left[m]::numeric * v_give_milli[m], v_left_milli[m]);
        END IF;
$old$,
$new$            v_give[m] := div_half_even(v_left[m]::numeric * v_give_milli[m], v_left_milli[m]);
        END IF;
    END LOOP;
    IF v_kept < (SELECT sum(m) FROM unnest(v_give) m) THEN
        v_give := spread_amount(v_give, v_kept);
    END IF;
    FOR m IN 1 .. v_lines LOOP
$new$),
('refund_sale',
$old$                  OR sum(l.quantity_milli) = 0 THEN 'refunded'
$old$,
$new$                  OR sum(l.quantity_milli) = 0
                  OR v_taken > 0 AND v_kept = (SELECT sum(m) FROM unnest(v_give) m) THEN 'refunded'
$new$)

    ) AS mend (function, old, new) LOOP
        v_text := pg_get_functiondef(v_mend.function::regproc);
        IF cardinality(string_to_array(v_text, v_mend.old)) <> 2 THEN
            RAISE 'not once in %: %', v_mend.function, v_mend.old;
        END IF;
        EXECUTE replace(v_text, v_mend.old, v_mend.new);
    END LOOP;
END $mend$;
