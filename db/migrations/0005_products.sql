-- SPDX-License-Identifier: Apache-2.0
-- Changes of the catalogue: who made them, in which order, and how to find what they left.

-- ---- who changed what -------------------------------------------------------------------------------

-- Append-only, for every resource. `before` is NULL where something was made, `after` where it was
-- removed; amounts in them are minor units. store_id is NULL for what belongs to no store.
CREATE TABLE audit_log (
    id        bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    actor     text        NOT NULL, -- the principal's subject
    action    text        NOT NULL, -- "product.update"
    entity    text        NOT NULL, -- "product"
    entity_id text        NOT NULL,
    store_id  text,
    before    jsonb,
    after     jsonb
);

CREATE INDEX audit_log_at_idx ON audit_log (at, id);
CREATE INDEX audit_log_entity_idx ON audit_log (entity, entity_id, at, id);
CREATE INDEX audit_log_actor_idx ON audit_log (actor, at, id);
CREATE INDEX audit_log_store_idx ON audit_log (store_id, at, id);

CREATE TRIGGER audit_log_immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- ---- one order of changes ---------------------------------------------------------------------------

-- A till that asks for what has changed since a time must miss nothing. now() would let it: a long
-- transaction commits rows whose time is past already. So changes of the catalogue go one behind the
-- other, and updated_at only ever grows: whoever sees a change sees all that have an earlier time.
-- Triggers, so that an import by hand obeys as well. Sales change no product.
CREATE FUNCTION lock_catalogue() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(7716700120261121); -- ours, and means nothing else
END $$;

-- Before the first row is locked: two statements that meet would else wait for each other.
CREATE FUNCTION begin_catalogue_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM lock_catalogue();
    PERFORM set_config('tillway.changed_at', greatest(clock_timestamp(),
                (SELECT max(updated_at) + interval '1 microsecond' FROM products))::text, true);
    RETURN NULL;
END $$;

CREATE FUNCTION stamp_catalogue_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.updated_at := current_setting('tillway.changed_at')::timestamptz;
    IF TG_OP = 'UPDATE' THEN
        NEW.version := OLD.version + 1;
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER products_change_begin BEFORE INSERT OR UPDATE ON products
    FOR EACH STATEMENT EXECUTE FUNCTION begin_catalogue_change();
CREATE TRIGGER products_change_stamp BEFORE INSERT OR UPDATE ON products
    FOR EACH ROW EXECUTE FUNCTION stamp_catalogue_change();

-- A row that vanishes is a change that no till hears of: set deleted_at.
CREATE TRIGGER products_stay BEFORE DELETE OR TRUNCATE ON products
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE INDEX products_changed_idx ON products (updated_at, product_id);

-- ---- finding by a part of the name ------------------------------------------------------------------

DO $$
BEGIN
    CREATE EXTENSION IF NOT EXISTS pg_trgm; -- trusted: whoever may create in the database may do this
EXCEPTION WHEN insufficient_privilege THEN
    RAISE 'pg_trgm is missing and this role may not add it: as an administrator of the database run'
          ' CREATE EXTENSION pg_trgm' USING ERRCODE = 'insufficient_privilege';
END $$;

-- The pending list is short: what it saves a change (a tenth of the cost) each search pays for.
CREATE INDEX products_name_idx ON products USING gin (name gin_trgm_ops)
    WITH (gin_pending_list_limit = 256) WHERE deleted_at IS NULL;
CREATE INDEX products_sku_prefix_idx ON products (lower(sku) COLLATE "C") WHERE deleted_at IS NULL;
CREATE INDEX products_barcode_prefix_idx ON products (lower(barcode) COLLATE "C")
    WHERE deleted_at IS NULL;

-- p_q anywhere in the name, or at the start of sku or barcode; p_pattern is p_q for ILIKE. It is put
-- into the query that calls it, so that the indexes above can serve it.
CREATE FUNCTION product_matches(p_name text, p_sku text, p_barcode text, p_q text, p_pattern text)
RETURNS bool LANGUAGE sql IMMUTABLE AS $$
    SELECT p_name ILIKE p_pattern
        OR (lower(p_sku) COLLATE "C" >= lower(p_q) AND lower(p_sku) COLLATE "C" < lower(p_q) || chr(1114111))
        OR (lower(p_barcode) COLLATE "C" >= lower(p_q)
            AND lower(p_barcode) COLLATE "C" < lower(p_q) || chr(1114111))
$$;

-- ---- changing ---------------------------------------------------------------------------------------

CREATE FUNCTION product_for_audit(p products) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
    SELECT jsonb_build_object('name', p.name, 'priceMinor', p.price_minor,
        'description', p.description, 'category', p.category, 'image', p.image, 'sku', p.sku,
        'barcode', p.barcode, 'taxRateMicro', p.tax_rate_micro, 'version', p.version)
$$;

CREATE FUNCTION is_same_product(a products, b products) RETURNS bool LANGUAGE sql IMMUTABLE AS $$
    SELECT (a.name, a.price_minor, a.description, a.category, a.image, a.sku, a.barcode,
            a.tax_rate_micro, a.deleted_at)
           IS NOT DISTINCT FROM
           (b.name, b.price_minor, b.description, b.category, b.image, b.sku, b.barcode,
            b.tax_rate_micro, b.deleted_at)
$$;

-- RFC 9110 §13.1.1. p_if_match: the versions of If-Match, -1 for "*"; NULL when there is no such
-- header. What is not there matches nothing.
CREATE FUNCTION matches(p_if_match int8[], p products) RETURNS bool LANGUAGE sql IMMUTABLE AS $$
    SELECT p_if_match IS NULL
        OR (p.product_id IS NOT NULL AND p.deleted_at IS NULL
            AND (p.version = ANY (p_if_match) OR -1 = ANY (p_if_match)))
$$;

-- Writes p_new over p_old (all NULL: there is none yet), says what came of it, and gives the row as
-- it is now. The catalogue is locked, so that what is checked here still holds at the commit.
--   created, updated, unchanged    a row that changes nothing is left alone: no till need hear of it
--   sku, barcode                   another product has it, and nothing was written
CREATE FUNCTION store_product(p_actor text, p_old products, p_new products, OUT verdict text,
                              OUT product products) LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM products o WHERE o.sku = p_new.sku AND o.deleted_at IS NULL
                                        AND o.product_id <> p_new.product_id) THEN
        verdict := 'sku';
    ELSIF EXISTS (SELECT FROM products o WHERE o.barcode = p_new.barcode AND o.deleted_at IS NULL
                                            AND o.product_id <> p_new.product_id) THEN
        verdict := 'barcode';
    ELSIF p_old.product_id IS NULL THEN
        INSERT INTO products (product_id, name, price_minor, description, category, image, sku,
                              barcode, tax_rate_micro)
        VALUES (p_new.product_id, p_new.name, p_new.price_minor, p_new.description, p_new.category,
                p_new.image, p_new.sku, p_new.barcode, p_new.tax_rate_micro)
        RETURNING * INTO product;
        verdict := 'created';
    ELSIF is_same_product(p_old, p_new) THEN
        product := p_old;
        verdict := 'unchanged';
    ELSE
        UPDATE products SET name = p_new.name, price_minor = p_new.price_minor,
               description = p_new.description, category = p_new.category, image = p_new.image,
               sku = p_new.sku, barcode = p_new.barcode, tax_rate_micro = p_new.tax_rate_micro,
               deleted_at = p_new.deleted_at
         WHERE product_id = p_new.product_id
        RETURNING * INTO product;
        verdict := CASE WHEN p_old.deleted_at IS NULL THEN 'updated' ELSE 'created' END;
    END IF;
    IF verdict IN ('created', 'updated') THEN
        INSERT INTO audit_log (actor, action, entity, entity_id, before, after)
        VALUES (p_actor, CASE verdict WHEN 'created' THEN 'product.create' ELSE 'product.update' END,
                'product', product.product_id,
                CASE WHEN verdict = 'updated' THEN product_for_audit(p_old) END,
                product_for_audit(product));
    END IF;
END $$;

-- Puts products whole, each judged on its own, in the order of the arrays. p_by_sku: the caller named
-- no product: it is the one that has this sku, else a new one under the id given.
--   created, updated, unchanged    the row as it is now
--   precondition-failed            p_if_match does not hold, or p_is_new and it is there already
--   sku, barcode                   another product has it
CREATE FUNCTION put_products(
    p_actor text, p_if_match int8[], p_is_new bool, p_product_id uuid[], p_by_sku bool[],
    p_name text[], p_price_minor int8[], p_description text[], p_category text[], p_image text[],
    p_sku text[], p_barcode text[], p_tax_rate_micro int4[])
RETURNS TABLE (item int, verdict text, product products) LANGUAGE plpgsql AS $$
DECLARE
    v_old  products;
    v_new  products;
    v_done record;
BEGIN
    PERFORM lock_catalogue();
    FOR n IN 1 .. cardinality(p_product_id) LOOP
        IF p_by_sku[n] THEN
            SELECT * INTO v_old FROM products o WHERE o.sku = p_sku[n] AND o.deleted_at IS NULL;
        ELSE
            SELECT * INTO v_old FROM products o WHERE o.product_id = p_product_id[n];
        END IF;
        product := NULL;
        IF NOT matches(p_if_match, v_old)
           OR (p_is_new AND v_old.product_id IS NOT NULL AND v_old.deleted_at IS NULL) THEN
            verdict := 'precondition-failed';
        ELSE
            v_new := v_old;
            v_new.product_id := coalesce(v_old.product_id, p_product_id[n]);
            v_new.name := p_name[n];
            v_new.price_minor := p_price_minor[n];
            v_new.description := p_description[n];
            v_new.category := p_category[n];
            v_new.image := p_image[n];
            v_new.sku := p_sku[n];
            v_new.barcode := p_barcode[n];
            v_new.tax_rate_micro := p_tax_rate_micro[n];
            v_new.deleted_at := NULL;
            SELECT * INTO v_done FROM store_product(p_actor, v_old, v_new);
            verdict := v_done.verdict;
            product := v_done.product;
        END IF;
        item := n;
        RETURN NEXT;
    END LOOP;
END $$;

-- Changes the fields whose bits are set in p_fields (name 1, price 2, description 4, category 8,
-- image 16, sku 32, barcode 64, tax rate 128) and no other. Verdicts as above, and not-found.
CREATE FUNCTION patch_product(
    p_actor text, p_if_match int8[], p_product_id uuid, p_fields int4, p_name text,
    p_price_minor int8, p_description text, p_category text, p_image text, p_sku text,
    p_barcode text, p_tax_rate_micro int4, OUT verdict text, OUT product products)
LANGUAGE plpgsql AS $$
DECLARE
    v_old  products;
    v_new  products;
    v_done record;
BEGIN
    PERFORM lock_catalogue();
    SELECT * INTO v_old FROM products o WHERE o.product_id = p_product_id AND o.deleted_at IS NULL;
    IF NOT matches(p_if_match, v_old) THEN
        verdict := 'precondition-failed';
        RETURN;
    ELSIF v_old.product_id IS NULL THEN
        verdict := 'not-found';
        RETURN;
    END IF;
    v_new := v_old;
    IF p_fields & 1 <> 0 THEN v_new.name := p_name; END IF;
    IF p_fields & 2 <> 0 THEN v_new.price_minor := p_price_minor; END IF;
    IF p_fields & 4 <> 0 THEN v_new.description := p_description; END IF;
    IF p_fields & 8 <> 0 THEN v_new.category := p_category; END IF;
    IF p_fields & 16 <> 0 THEN v_new.image := p_image; END IF;
    IF p_fields & 32 <> 0 THEN v_new.sku := p_sku; END IF;
    IF p_fields & 64 <> 0 THEN v_new.barcode := p_barcode; END IF;
    IF p_fields & 128 <> 0 THEN v_new.tax_rate_micro := p_tax_rate_micro; END IF;
    SELECT * INTO v_done FROM store_product(p_actor, v_old, v_new);
    verdict := v_done.verdict;
    product := v_done.product;
END $$;

-- deleted, not-found or precondition-failed. Whoever repeats a deletion whose answer was lost is told
-- again that it is done: the version that his If-Match names is the one before the deletion.
CREATE FUNCTION delete_product(p_actor text, p_if_match int8[], p_product_id uuid) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    v_old products;
BEGIN
    PERFORM lock_catalogue();
    SELECT * INTO v_old FROM products o WHERE o.product_id = p_product_id;
    IF v_old.deleted_at IS NOT NULL
       AND (p_if_match IS NULL OR v_old.version - 1 = ANY (p_if_match)) THEN
        RETURN 'deleted';
    ELSIF NOT matches(p_if_match, v_old) THEN
        RETURN 'precondition-failed';
    ELSIF v_old.product_id IS NULL THEN
        RETURN 'not-found';
    END IF;
    UPDATE products SET deleted_at = now() WHERE product_id = p_product_id;
    INSERT INTO audit_log (actor, action, entity, entity_id, before)
    VALUES (p_actor, 'product.delete', 'product', p_product_id, product_for_audit(v_old));
    RETURN 'deleted';
END $$;
