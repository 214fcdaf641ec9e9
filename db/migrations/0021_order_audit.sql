-- SPDX-License-Identifier: Apache-2.0
-- Who changed what of an open order is in the audit log: goods taken off a basket before it is paid are how
-- a till is robbed. Only what a customer pays for counts, items and discount. Who opened an order is in its row.

CREATE FUNCTION order_for_audit(p_order_id uuid) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT jsonb_build_object(
               'version', o.version, 'discountMinor', coalesce(o.discount_minor, 0),
               'items', (SELECT jsonb_agg(jsonb_build_object('productId', i.product_id,
                                                             'quantityMilli', i.quantity_milli,
                                                             'discountMinor', i.discount_minor)
                                          ORDER BY i.line_no)
                           FROM order_items i WHERE i.order_id = o.order_id))
      FROM orders o WHERE o.order_id = p_order_id
$$;

-- patch_order (0009) in somebody's name.
CREATE FUNCTION patch_order_as(
    p_actor text, p_order_id uuid, p_store_scope text, p_if_match text, p_is_parked bool,
    p_set_customer bool, p_customer_id uuid, p_set_label bool, p_label text, p_set_note bool, p_note text,
    p_set_discount bool, p_discount_minor bigint, p_set_items bool, p_product uuid[],
    p_quantity_milli bigint[], p_line_discount_minor bigint[], p_prices_include_tax bool,
    OUT verdict text, OUT refused_line int, OUT detail order_detail)
LANGUAGE plpgsql AS $$
DECLARE
    v_before jsonb;
    v_after  jsonb;
    v_done   record;
BEGIN
    IF p_set_items OR p_set_discount THEN
        PERFORM FROM orders o WHERE o.order_id = p_order_id FOR NO KEY UPDATE;
        v_before := order_for_audit(p_order_id);
    END IF;
    SELECT p.verdict, p.refused_line, p.detail INTO v_done
      FROM patch_order(p_order_id, p_store_scope, p_if_match, p_is_parked, p_set_customer, p_customer_id,
                       p_set_label, p_label, p_set_note, p_note, p_set_discount, p_discount_minor,
                       p_set_items, p_product, p_quantity_milli, p_line_discount_minor,
                       p_prices_include_tax) p;
    verdict := v_done.verdict;
    refused_line := v_done.refused_line;
    detail := v_done.detail;
    IF verdict <> 'updated' OR v_before IS NULL THEN
        RETURN;
    END IF;
    v_after := order_for_audit(p_order_id);
    IF v_before - 'version' <> v_after - 'version' THEN
        INSERT INTO audit_log (actor, action, entity, entity_id, store_id, before, after)
        SELECT p_actor, 'order.update', 'order', o.order_id, o.store_id, v_before, v_after
          FROM orders o WHERE o.order_id = p_order_id;
    END IF;
END $$;
