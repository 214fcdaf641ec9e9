-- SPDX-License-Identifier: Apache-2.0
-- Tells whoever remembers products (gateway/cached.h) that some have changed: NOTIFY
-- tillway_catalogue with a product_id, or with * for any or all of them.
--
-- NOTIFY takes a lock of the whole database at commit, one commit after the other: it must stay off
-- the path of sales. Sales read products and write inventory, so these triggers never fire for them.
-- Statement triggers, because an import of 100,000 rows is one message and not so many. Nothing is
-- told of an INSERT: nobody remembers that a product does not exist.

CREATE FUNCTION notify_catalogue() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        PERFORM pg_notify('tillway_catalogue', '*');
    ELSIF (SELECT count(*) FROM (SELECT FROM changed LIMIT 101) AS first) > 100 THEN
        PERFORM pg_notify('tillway_catalogue', '*');
    ELSE
        PERFORM pg_notify('tillway_catalogue', product_id::text) FROM changed;
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER products_updated AFTER UPDATE ON products REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION notify_catalogue();
CREATE TRIGGER products_deleted AFTER DELETE ON products REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION notify_catalogue();
CREATE TRIGGER products_truncated AFTER TRUNCATE ON products
    FOR EACH STATEMENT EXECUTE FUNCTION notify_catalogue();

-- Also in sessions that replay somebody else's changes (session_replication_role = replica).
ALTER TABLE products ENABLE ALWAYS TRIGGER products_updated;
ALTER TABLE products ENABLE ALWAYS TRIGGER products_deleted;
ALTER TABLE products ENABLE ALWAYS TRIGGER products_truncated;
