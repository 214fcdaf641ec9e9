-- SPDX-License-Identifier: Apache-2.0
-- An Idempotency-Key for what is made besides sales: products, orders, customers. Who was not
-- answered asks again under the same key and is told of what he made; without a key it is as before.
-- The functions that make are those of 0005, 0008 and 0009.

-- Takes the key for `p_id`, or tells what was made under it: the verdict `replayed` with its id in
-- `made`, or `idempotency-mismatch`. NULL: it is ours, or there is no key. A concurrent copy waits
-- until the first one commits.
CREATE FUNCTION take_key(p_scope text, p_key text, p_fingerprint bytea, p_id uuid,
                         OUT verdict text, OUT made uuid)
LANGUAGE plpgsql AS $$
BEGIN
    IF p_key IS NULL THEN
        RETURN;
    END IF;
    INSERT INTO idempotency_keys (scope, key, fingerprint, transaction_id)
    VALUES (p_scope, p_key, p_fingerprint, p_id)
    ON CONFLICT DO NOTHING;
    IF FOUND THEN
        RETURN;
    END IF;
    SELECT CASE WHEN k.fingerprint = p_fingerprint THEN 'replayed' ELSE 'idempotency-mismatch' END,
           k.transaction_id
      INTO verdict, made
      FROM idempotency_keys k WHERE k.scope = p_scope AND k.key = p_key;
    IF NOT FOUND THEN -- housekeeping removed it since
        RAISE 'an idempotency key vanished' USING ERRCODE = 'serialization_failure';
    END IF;
END $$;

-- After a refusal: it leaves nothing behind.
CREATE FUNCTION give_key_back(p_scope text, p_key text) RETURNS void LANGUAGE sql AS $$
    DELETE FROM idempotency_keys k WHERE k.scope = p_scope AND k.key = p_key
$$;

-- put_products for one that is new. Also the verdicts of take_key; `not-found`: it was made and
-- deleted since.
CREATE FUNCTION create_product(
    p_key text, p_fingerprint bytea, p_product_id uuid, p_actor text, p_name text[],
    p_price_minor int8[], p_description text[], p_category text[], p_image text[], p_sku text[],
    p_barcode text[], p_tax_rate_micro int4[], OUT verdict text, OUT product products)
LANGUAGE plpgsql AS $$
DECLARE
    v_key  record;
    v_done record;
BEGIN
    SELECT * INTO v_key FROM take_key(p_actor, p_key, p_fingerprint, p_product_id);
    verdict := v_key.verdict;
    IF verdict IS NULL THEN
        SELECT p.verdict, p.product INTO v_done
          FROM put_products(p_actor, NULL, true, ARRAY[p_product_id], ARRAY[false], p_name,
                            p_price_minor, p_description, p_category, p_image, p_sku, p_barcode,
                            p_tax_rate_micro) p;
        verdict := v_done.verdict;
        product := v_done.product;
        IF p_key IS NOT NULL AND verdict <> 'created' THEN
            PERFORM give_key_back(p_actor, p_key);
        END IF;
    ELSIF verdict = 'replayed' THEN
        SELECT p.* INTO product FROM products p
         WHERE p.product_id = v_key.made AND p.deleted_at IS NULL;
        verdict := CASE WHEN FOUND THEN 'replayed' ELSE 'not-found' END;
    END IF;
END $$;

-- create_customer, with a verdict: `created`, `already-exists`, those of take_key, or `not-found`:
-- it was made and erased since.
CREATE FUNCTION create_customer_once(
    p_key text, p_fingerprint bytea, p_customer_id uuid, p_actor text, p_name text, p_phone text,
    p_email text, p_notes text, OUT verdict text, OUT customer customers)
LANGUAGE plpgsql AS $$
DECLARE
    v_key record;
BEGIN
    SELECT * INTO v_key FROM take_key(p_actor, p_key, p_fingerprint, p_customer_id);
    verdict := v_key.verdict;
    IF verdict IS NULL THEN
        -- 23505, when the id is taken, ends the transaction, and the key with it.
        SELECT c.* INTO customer
          FROM create_customer(p_actor, p_customer_id, p_name, p_phone, p_email, p_notes) c;
        verdict := 'created';
    ELSIF verdict = 'replayed' THEN
        SELECT c.* INTO customer FROM customers c
         WHERE c.customer_id = v_key.made AND c.erased_at IS NULL;
        verdict := CASE WHEN FOUND THEN 'replayed' ELSE 'not-found' END;
    END IF;
END $$;

-- open_order. Also the verdicts of take_key; a replay answers with the order as it is now.
CREATE FUNCTION open_order_once(
    p_key text, p_fingerprint bytea, p_order_id uuid, p_store_id text, p_user_id text,
    p_customer_id uuid, p_is_parked bool, p_label text, p_note text, p_discount_minor bigint,
    p_product uuid[], p_quantity_milli bigint[], p_line_discount_minor bigint[],
    p_prices_include_tax bool, OUT verdict text, OUT refused_line int, OUT detail order_detail)
LANGUAGE plpgsql AS $$
DECLARE
    v_key  record;
    v_done record;
BEGIN
    SELECT * INTO v_key FROM take_key(p_user_id, p_key, p_fingerprint, p_order_id);
    verdict := v_key.verdict;
    IF verdict IS NULL THEN
        SELECT o.verdict, o.refused_line, o.detail INTO v_done
          FROM open_order(p_order_id, p_store_id, p_user_id, p_customer_id, p_is_parked, p_label,
                          p_note, p_discount_minor, p_product, p_quantity_milli,
                          p_line_discount_minor, p_prices_include_tax) o;
        verdict := v_done.verdict;
        refused_line := v_done.refused_line;
        detail := v_done.detail;
        IF p_key IS NOT NULL AND verdict <> 'opened' THEN
            PERFORM give_key_back(p_user_id, p_key);
        END IF;
    ELSIF verdict = 'replayed' THEN
        SELECT d.* INTO detail
          FROM orders o CROSS JOIN LATERAL detail_of_order(o, p_prices_include_tax) d
         WHERE o.order_id = v_key.made;
    END IF;
END $$;
