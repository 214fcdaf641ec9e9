-- SPDX-License-Identifier: Apache-2.0
-- Customers: whom a sale or an order may name. Known to all stores; erasable.
--
-- Erasing leaves the id, which sales and orders go on naming, and nothing about the person: not
-- here, and not in the audit log, which for customers tells the names of fields and never a value.

CREATE TABLE customers (
    customer_id uuid        PRIMARY KEY,
    name        text,
    phone       text,
    email       text,
    notes       text,
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now(),
    version     bigint      NOT NULL DEFAULT 1,
    erased_at   timestamptz,
    CHECK ((erased_at IS NULL) = (name IS NOT NULL)),
    CHECK (erased_at IS NULL OR num_nonnulls(phone, email, notes) = 0)
);

-- What a phone number is found by: "+49 (30) 12-34" and "+493012 34" are the same.
CREATE FUNCTION phone_digits(p_phone text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT regexp_replace(p_phone, '[^0-9+]', '', 'g')
$$;

-- One for each way to search, in the order of its list. Byte order, so that a prefix is a range.
CREATE INDEX customers_name_idx ON customers ((lower(name) COLLATE "C"), customer_id)
    WHERE erased_at IS NULL;
CREATE INDEX customers_email_idx ON customers ((lower(email) COLLATE "C"), customer_id)
    WHERE erased_at IS NULL;
CREATE INDEX customers_phone_idx ON customers ((phone_digits(phone) COLLATE "C"), customer_id)
    WHERE erased_at IS NULL;

CREATE FUNCTION create_customer(p_actor text, p_customer_id uuid, p_name text, p_phone text,
                                p_email text, p_notes text)
RETURNS SETOF customers LANGUAGE sql AS $$
    WITH audited AS (
        INSERT INTO audit_log (actor, action, entity, entity_id, after)
        VALUES (p_actor, 'customer.create', 'customer', p_customer_id, '{}')
    )
    INSERT INTO customers (customer_id, name, phone, email, notes)
    VALUES (p_customer_id, p_name, p_phone, p_email, p_notes)
    RETURNING *
$$;

-- Changes the fields that are named; NULL removes one. verdict: `updated`, `not-found` or
-- `precondition-failed`; the row as it is now comes with the first.
CREATE FUNCTION patch_customer(
    p_actor text, p_customer_id uuid, p_if_match text, p_name text,
    p_set_phone bool, p_phone text, p_set_email bool, p_email text, p_set_notes bool, p_notes text)
RETURNS TABLE (verdict text, customer customers) LANGUAGE plpgsql AS $$
BEGIN
    SELECT c.* INTO customer FROM customers c
     WHERE c.customer_id = p_customer_id AND c.erased_at IS NULL FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        verdict := 'not-found';
    ELSIF NOT if_match_passes(p_if_match, customer.version::text) THEN
        verdict := 'precondition-failed';
    ELSE
        UPDATE customers c
           SET name = coalesce(p_name, c.name),
               phone = CASE WHEN p_set_phone THEN p_phone ELSE c.phone END,
               email = CASE WHEN p_set_email THEN p_email ELSE c.email END,
               notes = CASE WHEN p_set_notes THEN p_notes ELSE c.notes END,
               updated_at = now(), version = c.version + 1
         WHERE c.customer_id = p_customer_id
        RETURNING c.* INTO customer;
        INSERT INTO audit_log (actor, action, entity, entity_id, before, after)
        SELECT p_actor, 'customer.update', 'customer', p_customer_id, '{}',
               jsonb_build_object('changed', array_remove(ARRAY[
                   CASE WHEN p_name IS NOT NULL THEN 'name' END,
                   CASE WHEN p_set_phone THEN 'phone' END, CASE WHEN p_set_email THEN 'email' END,
                   CASE WHEN p_set_notes THEN 'notes' END], NULL));
        verdict := 'updated';
    END IF;
    RETURN NEXT;
END $$;

-- Erases a person for good. verdict: `erased` (also when it was before), `not-found` or
-- `precondition-failed`.
CREATE FUNCTION erase_customer(p_actor text, p_customer_id uuid, p_if_match text) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    v_old customers;
BEGIN
    SELECT * INTO v_old FROM customers c WHERE c.customer_id = p_customer_id FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN 'not-found';
    ELSIF v_old.erased_at IS NOT NULL THEN
        RETURN 'erased';
    ELSIF NOT if_match_passes(p_if_match, v_old.version::text) THEN
        RETURN 'precondition-failed';
    END IF;
    UPDATE customers c
       SET name = NULL, phone = NULL, email = NULL, notes = NULL, erased_at = now(),
           updated_at = now(), version = c.version + 1
     WHERE c.customer_id = p_customer_id;
    INSERT INTO audit_log (actor, action, entity, entity_id, before)
    VALUES (p_actor, 'customer.erase', 'customer', p_customer_id, '{}');
    RETURN 'erased';
END $$;
