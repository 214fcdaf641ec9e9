-- SPDX-License-Identifier: Apache-2.0
-- transaction_page of nine arguments: sales that are exceptions, by the index of 0022. That of eight (0010) stays
-- for the gateway of the version before, which lists during an upgrade.
--
-- Who asks for all stores walks them one by one, each along its index: no index begins without the store, and
-- there are few stores.

CREATE FUNCTION transaction_page(
    p_store_id text, p_first date, p_last date, p_cashier_id text, p_status text,
    p_payment_method text, p_after uuid, p_limit int, p_exception text)
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
        IF p_exception IS NOT NULL THEN
            RETURN QUERY
            SELECT t.transaction_id, t.business_date FROM transactions t
             WHERE t.store_id = v_store
               AND (t.stock_exception OR t.price_exception OR t.amount_exception)
               AND CASE p_exception WHEN 'stock' THEN t.stock_exception
                                    WHEN 'price' THEN t.price_exception
                                    WHEN 'amount' THEN t.amount_exception
                                    ELSE true END
               AND (t.business_date, t.transaction_id) < (v_day, v_id)
               AND t.business_date BETWEEN p_first AND p_last
               AND (p_status IS NULL OR t.status = p_status)
               AND (p_cashier_id IS NULL OR t.cashier_id = p_cashier_id)
               AND (p_payment_method IS NULL OR t.payment_method = p_payment_method)
             ORDER BY t.business_date DESC, t.transaction_id DESC LIMIT p_limit;
        ELSIF p_status <> 'completed' THEN
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
