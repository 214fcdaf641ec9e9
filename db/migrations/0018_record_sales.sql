-- SPDX-License-Identifier: Apache-2.0
-- What a till sold while it was alone, once more: the money has changed hands and the goods have gone, so
--
-- - no sums are a reason to refuse it. It is recorded with our total and with the payments as they were
--   taken, and where these do not go together it is an amount_exception (the column: 0017);
-- - a count is not undone by it. What had been sold before the stock was counted was not there to be
--   counted, and is not taken from the stock again. Nothing of such a line is taken, and its shortage is
--   all of it; the sale is no exception by that.
--
-- record_sales whole, and set_stock_level and write_stock_document (0016) but for the lines at the end.

DROP FUNCTION priced_sales(
    bool[], bigint[], text[], int[], uuid[], bigint[], bigint[], int[], int[], text[], bigint[],
    text[], bool, bool[], bool[], bigint[], int[]);
DROP FUNCTION sale_verdict(text, bigint, bigint, numeric, numeric, bool, bool, bool, bigint, text);

-- Why a sale cannot be recorded; NULL: it may, as far as prices, totals and payments go.
CREATE FUNCTION sale_verdict(
    line_refusal text, subtotal bigint, total bigint, paid numeric, paid_otherwise numeric,
    payments_malformed bool, has_payments bool, basket_refused bool, expected_total bigint,
    sale_payment_method text, sold_offline bool) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN line_refusal IS NOT NULL THEN line_refusal
                WHEN greatest(subtotal, total, paid) > 999999999999999 THEN 'amount-out-of-range'
                WHEN basket_refused THEN 'discount-too-large'
                WHEN total <> expected_total
                 AND (sold_offline IS NOT TRUE OR expected_total NOT BETWEEN 0 AND 999999999999999)
                THEN 'total-mismatch'
                WHEN NOT has_payments AND sale_payment_method IS NULL OR payments_malformed
                  OR (paid < total OR paid_otherwise > total) AND sold_offline IS NOT TRUE
                THEN 'payment-mismatch'
           END
$$;

-- The sales with their totals. verdict is NULL for a sale that may be recorded as far as prices,
-- totals and payments go; idempotency and stock are not looked at. A sale without lines has no row.
CREATE FUNCTION priced_sales(
    p_take bool[], p_expected_total_minor bigint[], p_sale_payment_method text[],
    p_line_sale int[], p_line_product uuid[], p_line_quantity_milli bigint[],
    p_line_discount_minor bigint[],
    p_payment_from int[], p_payment_to int[], p_payment_method text[],
    p_payment_amount_minor bigint[], p_payment_reference text[], p_prices_include_tax bool,
    p_basket_refused bool[], p_sold_offline bool[] DEFAULT NULL,
    p_line_price_minor bigint[] DEFAULT NULL, p_line_tax_rate_micro int[] DEFAULT NULL)
RETURNS TABLE (
    sale int, verdict text, refused_line int,
    subtotal_minor bigint, discount_total_minor bigint, tax_total_minor bigint, total_minor bigint,
    item_taxes_minor bigint[])
LANGUAGE sql STABLE AS $$
    SELECT sale,
           sale_verdict(refusals[1], subtotal::bigint, total::bigint, paid, paid_otherwise,
                        payments_malformed, methods IS NOT NULL, p_basket_refused[sale],
                        p_expected_total_minor[sale], p_sale_payment_method[sale],
                        p_sold_offline[sale]),
           refused_no::int - 1,
           subtotal::bigint, discount_total::bigint, tax_total::bigint, total::bigint, taxes
      FROM (SELECT sale, min(line_no) FILTER (WHERE refusal IS NOT NULL) AS refused_no,
                   array_agg(refusal) FILTER (WHERE refusal IS NOT NULL) AS refusals,
                   sum(gross_minor) AS subtotal, sum(discount_minor) AS discount_total,
                   sum(tax_minor) AS tax_total, sum(line_total_minor) AS total,
                   array_agg(tax_minor) AS taxes
              FROM (SELECT * FROM priced_lines(p_take, p_line_sale, p_line_product,
                                               p_line_quantity_milli, p_line_discount_minor,
                                               p_prices_include_tax, p_sold_offline, p_line_price_minor,
                                               p_line_tax_rate_micro)
                     ORDER BY sale, line_no) line
             GROUP BY sale) basket
     CROSS JOIN LATERAL tendered(p_payment_from[sale], p_payment_to[sale], p_payment_method,
                                 p_payment_amount_minor, p_payment_reference) tendered
$$;

DROP FUNCTION record_sales(
    uuid[], text[], text[], bytea[], text[], text[], text[], timestamptz[], text[], bigint[],
    uuid[], bigint[], bool[], int[], uuid[], bigint[], bigint[], int[], text[], bigint[], text[],
    text, bool, text, int, bigint[], int[]);

-- Arguments and results: db/queries/record_sales.sql. What it does and in which order it locks is told in
-- 0003. Rows come in no particular order (the statement sorts them by sale_index).
CREATE FUNCTION record_sales(
    p_transaction_id uuid[], p_idempotency_scope text[], p_idempotency_key text[],
    p_fingerprint bytea[], p_store_id text[], p_register_id text[], p_cashier_id text[],
    p_sold_at timestamptz[], p_sale_payment_method text[], p_expected_total_minor bigint[],
    p_customer_id uuid[], p_basket_discount_minor bigint[], p_sold_offline bool[],
    p_line_sale int[], p_line_product uuid[], p_line_quantity_milli bigint[],
    p_line_discount_minor bigint[],
    p_payment_sale int[], p_payment_method text[], p_payment_amount_minor bigint[],
    p_payment_reference text[],
    p_currency text, p_prices_include_tax bool, p_time_zone text, p_business_day_start_s int,
    p_line_price_minor bigint[] DEFAULT NULL, p_line_tax_rate_micro int[] DEFAULT NULL)
RETURNS TABLE (
    sale_index int, verdict text, refused_line int,
    transaction_id uuid, recorded_at timestamptz, sold_at timestamptz, business_date date,
    store_id text, register_id text, cashier_id text, currency text, prices_include_tax bool,
    subtotal_minor bigint, discount_total_minor bigint, tax_total_minor bigint, total_minor bigint,
    change_minor bigint, payment_method text, status text, receipt_number bigint,
    item_product_ids uuid[], item_names text[], item_quantities_milli bigint[],
    item_unit_prices_minor bigint[], item_discounts_minor bigint[], item_tax_rates_micro int[],
    item_taxes_minor bigint[], item_totals_minor bigint[],
    payment_methods text[], payment_amounts_minor bigint[], payment_references text[],
    customer_id uuid, basket_discount_minor bigint, sold_offline bool, stock_exception bool,
    item_shortages_milli bigint[], price_exception bool, amount_exception bool)
LANGUAGE plpgsql
-- Batch sizes differ from call to call: plans must neither be made anew nor fitted to one size. And
-- they must walk the indexes whatever the statistics said when they were made: a small table read
-- whole five times is half the cost of a single sale, and one that has grown since is far worse.
SET plan_cache_mode = force_generic_plan
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_seqscan = off
AS $$
#variable_conflict use_column
DECLARE
    v_sales        int := cardinality(p_transaction_id);
    v_all          bool[] := array_fill(true, ARRAY[v_sales]);
    v_take         bool[] := v_all;                         -- the sales to be recorded …
    v_taken        int := v_sales;                          -- … and how many
    v_plain        bool;                                    -- nothing known against any of those
    v_payment_from int[] := array_fill(1, ARRAY[v_sales]);  -- a sale's payments; none: 1 to 0
    v_payment_to   int[] := array_fill(0, ARRAY[v_sales]);
    v_discount     bigint[] := p_line_discount_minor;       -- per line, the basket's share included
    v_basket_refused bool[];                                -- NULL: none
    v_ours_scope   text[];                                  -- the keys this call reserved
    v_ours_key     text[];
    v_ours         int;
    -- Per row of inventory that is locked, by (store_id, product_id): where it is, and the stock that
    -- these sales leave there (of no meaning unless v_plain).
    v_stock_at     tid[];
    v_stock_milli  bigint[];
    v_tracked_lines bigint;  -- how many lines take from one
    v_tracked      bool[];  -- which; NULL: all of them
    -- The rest serves judging one by one. Per sale:
    v_verdict      text[];
    v_refused_line int[];
    v_replayed     uuid[]; -- the stored sale to answer with
    v_key_used     bool[]; -- before this call
    v_key_slot     int[];  -- equal keys, and equal transaction_ids, share a slot
    v_id_slot      int[];
    v_priced       text[]; -- the verdict on prices, totals and payments
    v_priced_line  int[];
    v_line_from    int[];
    v_line_to      int[];
    v_before       bool[]; -- v_take before judging
    -- Per slot: the accepted sale that holds it, if any.
    v_key_owner    int[];
    v_id_owner     int[];
    -- Per line: the stock row it takes from, as above (NULL: none).
    v_line_slot    int[];
    v_line_milli   bigint[];
    v_line_short   bigint[]; -- what is not taken from it; NULL as a whole: nothing anywhere
    v_exception    bool[];   -- per sale: the stock lacked something
    v_lines        int;
    v_short_line   int;
    v_owner        int;
    v_row          record;
BEGIN
    FOR n IN 1 .. cardinality(p_payment_sale) LOOP
        IF p_payment_sale[n] IS NULL OR p_payment_sale[n] NOT BETWEEN 1 AND v_sales
           OR p_payment_sale[n] < p_payment_sale[n - 1] THEN
            RAISE 'payments are not sorted by sale' USING ERRCODE = 'invalid_parameter_value';
        END IF;
        IF n = 1 OR p_payment_sale[n] <> p_payment_sale[n - 1] THEN
            v_payment_from[p_payment_sale[n]] := n;
        END IF;
        v_payment_to[p_payment_sale[n]] := n;
    END LOOP;

    -- Keys. A concurrent copy waits here until the first one commits, and is then a replay.
    WITH reserved AS (
        INSERT INTO idempotency_keys (scope, key, fingerprint, transaction_id)
        SELECT s.scope, s.key, s.fingerprint, s.transaction_id
          FROM unnest(p_idempotency_scope, p_idempotency_key, p_fingerprint, p_transaction_id)
               WITH ORDINALITY AS s (scope, key, fingerprint, transaction_id, nth)
         ORDER BY s.scope, s.key, s.nth
        ON CONFLICT DO NOTHING
        RETURNING scope, key)
    SELECT count(*), array_agg(scope), array_agg(key) INTO v_ours, v_ours_scope, v_ours_key
      FROM reserved;

    -- Receipts. Numbers for all sales; those of refused ones are handed back below.
    INSERT INTO registers (store_id, register_id, last_receipt)
    SELECT s.store_id, s.register_id, count(*)
      FROM unnest(p_store_id, p_register_id) AS s (store_id, register_id)
     GROUP BY s.store_id, s.register_id
     ORDER BY s.store_id, s.register_id
    ON CONFLICT (store_id, register_id)
    DO UPDATE SET last_receipt = registers.last_receipt + excluded.last_receipt;

    -- Stock. A locked row stays where it is until it is written, below.
    WITH locked AS MATERIALIZED (
        SELECT i.ctid AS at, i.stock_milli, wanted.quantity_milli AS wanted_milli, wanted.lines,
               i.counted_at > wanted.offline_from AS is_counted
          FROM (SELECT p_store_id[l.sale] AS store_id, l.product_id,
                       sum(l.quantity_milli) AS quantity_milli, count(*) AS lines,
                       min(p_sold_at[l.sale]) FILTER (WHERE p_sold_offline[l.sale])
                           AS offline_from
                  FROM unnest(p_line_sale, p_line_product, p_line_quantity_milli)
                       AS l (sale, product_id, quantity_milli)
                 GROUP BY p_store_id[l.sale], l.product_id) wanted
          JOIN inventory i ON i.store_id = wanted.store_id AND i.product_id = wanted.product_id
         ORDER BY i.store_id, i.product_id
           FOR NO KEY UPDATE OF i)
    SELECT v_ours = v_sales AND coalesce(bool_and(stock_milli >= wanted_milli), true)
           AND bool_or(is_counted) IS NOT TRUE,
           coalesce(array_agg(at), '{}'),
           array_agg(CASE WHEN wanted_milli BETWEEN 0 AND stock_milli
                          THEN stock_milli - wanted_milli END),
           coalesce(sum(lines), 0)
      INTO v_plain, v_stock_at, v_stock_milli, v_tracked_lines
      FROM locked;
    IF v_tracked_lines < cardinality(p_line_sale) THEN
        -- What somebody began to count meanwhile is not among those.
        SELECT array_agg(EXISTS (SELECT FROM inventory i
                                  WHERE i.store_id = p_store_id[l.sale] AND i.product_id = l.product_id
                                    AND i.ctid = ANY (v_stock_at)) ORDER BY l.nth)
          INTO v_tracked
          FROM unnest(p_line_sale, p_line_product) WITH ORDINALITY AS l (sale, product_id, nth);
    END IF;

    IF cardinality(array_remove(p_basket_discount_minor, NULL)) > 0 THEN
        SELECT * INTO v_discount, v_basket_refused
          FROM spread_discounts(v_all, p_basket_discount_minor, p_line_sale, p_line_product,
                                p_line_quantity_milli, p_line_discount_minor, p_prices_include_tax,
                                p_sold_offline, p_line_price_minor, p_line_tax_rate_micro);
    END IF;

    -- Ends after the first round that writes. A third round is rare: somebody else changed the
    -- catalogue, or took a transaction_id, between judging and writing.
    LOOP
        IF v_plain THEN
            RETURN QUERY
            WITH line AS MATERIALIZED (
                SELECT l.*, coalesce(v_line_short[l.nth], 0) AS shortage_milli
                  FROM priced_lines(v_take, p_line_sale, p_line_product, p_line_quantity_milli,
                                    v_discount, p_prices_include_tax, p_sold_offline,
                                    p_line_price_minor, p_line_tax_rate_micro) l
            ), sale AS MATERIALIZED (
                SELECT b.*, p_transaction_id[sale] AS transaction_id,
                       sale_verdict(refusal, subtotal_minor, total_minor, paid, paid_otherwise,
                                    payments_malformed, methods IS NOT NULL, v_basket_refused[sale],
                                    p_expected_total_minor[sale], p_sale_payment_method[sale],
                                    p_sold_offline[sale]) AS verdict,
                       CASE WHEN paid IS NULL OR paid_otherwise > told_minor THEN 0
                            ELSE greatest(paid - told_minor, 0) END::bigint AS change_minor,
                       coalesce(p_sold_offline[sale]
                                AND (told_minor <> total_minor OR paid < total_minor
                                     OR paid_otherwise > total_minor), false) AS amount_exception,
                       coalesce(p_sale_payment_method[sale],
                                CASE WHEN one_method THEN methods[1] ELSE 'mixed' END)
                           AS payment_method,
                       coalesce(methods, ARRAY[p_sale_payment_method[sale]]) AS payment_methods,
                       coalesce(amounts, ARRAY[told_minor]) AS payment_amounts_minor,
                       coalesce(payment_refs, ARRAY[NULL::text]) AS payment_references,
                       coalesce(p_sold_at[sale], now()) AS sold_at,
                       (coalesce(p_sold_at[sale], now()) AT TIME ZONE p_time_zone
                        - make_interval(secs => p_business_day_start_s))::date AS business_date,
                       r.store_id, r.register_id, p_cashier_id[sale] AS cashier_id,
                       p_customer_id[sale] AS customer_id,
                       coalesce(p_basket_discount_minor[sale], 0) AS basket_discount_minor,
                       coalesce(p_sold_offline[sale], false) AS sold_offline,
                       coalesce(v_exception[sale], false) AS stock_exception,
                       r.last_receipt + 1 - row_number() OVER (
                           PARTITION BY r.store_id, r.register_id ORDER BY sale DESC) AS receipt_number
                  FROM (SELECT sale, min(refusal) AS refusal,
                               sum(gross_minor)::bigint AS subtotal_minor,
                               sum(discount_minor)::bigint AS discount_total_minor,
                               sum(tax_minor)::bigint AS tax_total_minor,
                               sum(line_total_minor)::bigint AS total_minor,
                               array_agg(product_id) AS item_product_ids,
                               array_agg(name) AS item_names,
                               array_agg(quantity_milli) AS item_quantities_milli,
                               array_agg(unit_price_minor) AS item_unit_prices_minor,
                               array_agg(discount_minor) AS item_discounts_minor,
                               array_agg(tax_rate_micro) AS item_tax_rates_micro,
                               array_agg(tax_minor) AS item_taxes_minor,
                               array_agg(line_total_minor) AS item_totals_minor,
                               bool_or(is_off_catalogue) AS price_exception,
                               -- What the customer was told: the payments and the change follow it.
                               coalesce(p_expected_total_minor[sale], sum(line_total_minor)::bigint)
                                   AS told_minor
                          FROM (SELECT * FROM line ORDER BY sale, nth) line
                         GROUP BY sale) b
                 CROSS JOIN LATERAL tendered(v_payment_from[sale], v_payment_to[sale], p_payment_method,
                                             p_payment_amount_minor, p_payment_reference) tendered
                  JOIN registers r ON r.store_id = p_store_id[sale]
                                  AND r.register_id = p_register_id[sale]
            ), is_good AS MATERIALIZED (
                SELECT count(*) = v_taken AND bool_and(verdict IS NULL)
                       AND count(DISTINCT transaction_id) = v_taken
                       -- Every line has its sale; else judging says so.
                       AND (v_taken < v_sales OR sum(cardinality(item_product_ids))
                                                 = cardinality(p_line_sale))
                       AND NOT bool_or(EXISTS (SELECT FROM transactions t
                               WHERE t.transaction_id = sale.transaction_id)) AS is_good
                  FROM sale
            ), header_written AS (
                INSERT INTO transactions (transaction_id, recorded_at, sold_at, business_date,
                       store_id, register_id, cashier_id, currency, prices_include_tax,
                       subtotal_minor, discount_total_minor, tax_total_minor, total_minor,
                       change_minor, payment_method, status, receipt_number, customer_id,
                       basket_discount_minor, sold_offline, stock_exception, price_exception,
                       amount_exception)
                SELECT s.transaction_id, now(), s.sold_at, s.business_date,
                       s.store_id, s.register_id, s.cashier_id, p_currency, p_prices_include_tax,
                       s.subtotal_minor, s.discount_total_minor, s.tax_total_minor, s.total_minor,
                       s.change_minor, s.payment_method, 'completed', s.receipt_number, s.customer_id,
                       s.basket_discount_minor, s.sold_offline, s.stock_exception, s.price_exception,
                       s.amount_exception
                  FROM sale s WHERE (SELECT is_good FROM is_good)
            ), items_written AS (
                INSERT INTO transaction_items (transaction_id, line_no, product_id, name,
                       quantity_milli, unit_price_minor, discount_minor, tax_rate_micro, tax_minor,
                       line_total_minor, shortage_milli)
                SELECT p_transaction_id[l.sale], l.line_no, l.product_id, l.name, l.quantity_milli,
                       l.unit_price_minor, l.discount_minor, l.tax_rate_micro, l.tax_minor,
                       l.line_total_minor, l.shortage_milli
                  FROM line l WHERE (SELECT is_good FROM is_good)
            ), payments_written AS (
                INSERT INTO payments (transaction_id, payment_no, method, amount_minor, reference)
                SELECT s.transaction_id, n, s.payment_methods[n], s.payment_amounts_minor[n],
                       s.payment_references[n]
                  FROM sale s, generate_series(1, cardinality(s.payment_methods)) n
                 WHERE (SELECT is_good FROM is_good)
            ), stock_taken AS (
                UPDATE inventory i SET stock_milli = s.milli, updated_at = now()
                  FROM unnest(v_stock_at, v_stock_milli) AS s (at, milli)
                 WHERE i.ctid = s.at AND i.stock_milli <> s.milli AND (SELECT is_good FROM is_good)
            ), movements_written AS (
                INSERT INTO inventory_movements (store_id, product_id, quantity_milli, kind,
                       reference, principal)
                SELECT p_store_id[l.sale], l.product_id, l.shortage_milli - l.quantity_milli, 'sale',
                       p_transaction_id[l.sale], p_cashier_id[l.sale]
                  FROM line l
                 WHERE (v_tracked IS NULL OR v_tracked[l.nth]) AND l.quantity_milli > l.shortage_milli
                   AND (SELECT is_good FROM is_good)
            ), event_written AS (
                INSERT INTO outbox (kind, store_id, reference)
                SELECT 'transaction.recorded', s.store_id, s.transaction_id
                  FROM sale s WHERE (SELECT is_good FROM is_good)
            )
            SELECT s.sale, 'recorded', NULL::int,
                   s.transaction_id, now(), s.sold_at, s.business_date,
                   s.store_id, s.register_id, s.cashier_id, p_currency, p_prices_include_tax,
                   s.subtotal_minor, s.discount_total_minor, s.tax_total_minor, s.total_minor,
                   s.change_minor, s.payment_method, 'completed', s.receipt_number,
                   s.item_product_ids, s.item_names, s.item_quantities_milli,
                   s.item_unit_prices_minor, s.item_discounts_minor, s.item_tax_rates_micro,
                   s.item_taxes_minor, s.item_totals_minor,
                   s.payment_methods, s.payment_amounts_minor, s.payment_references,
                   s.customer_id, s.basket_discount_minor, s.sold_offline, s.stock_exception,
                   CASE WHEN s.stock_exception
                        THEN v_line_short[v_line_from[s.sale] : v_line_to[s.sale]] END,
                   s.price_exception, s.amount_exception
              FROM sale s WHERE (SELECT is_good FROM is_good);
            EXIT WHEN FOUND;
        END IF;

        -- Judging, in memory, from scratch, in the order of the batch. First what each sale is known
        -- by: its key and its transaction_id.
        IF EXISTS (SELECT FROM (SELECT l.sale, lag(l.sale, 1, 1) OVER (ORDER BY l.nth) AS before
                                  FROM unnest(p_line_sale) WITH ORDINALITY AS l (sale, nth)) l
                    WHERE l.sale IS NULL OR l.sale NOT BETWEEN l.before AND v_sales) THEN
            RAISE 'a line belongs to no sale, or they are not sorted by it'
                USING ERRCODE = 'invalid_parameter_value';
        END IF;
        v_verdict := array_fill(NULL::text, ARRAY[v_sales]);
        v_refused_line := array_fill(NULL::int, ARRAY[v_sales]);
        v_replayed := array_fill(NULL::uuid, ARRAY[v_sales]);
        v_key_used := v_all;
        v_key_slot := array_fill(0, ARRAY[v_sales]);
        v_id_slot := v_key_slot;
        FOR v_row IN
            SELECT s.nth, s.fingerprint = k.fingerprint AS is_same, k.transaction_id AS stored_id,
                   k.key = s.transaction_id::text AS key_is_id,
                   (s.scope, s.key) NOT IN (SELECT * FROM unnest(v_ours_scope, v_ours_key)) AS is_used,
                   -- Recorded before, perhaps under another key: is it the same sale? NULL: there is
                   -- none.
                   (SELECT t.store_id = p_store_id[s.nth] AND t.register_id = p_register_id[s.nth]
                           -- The total that the till sent was another one then, too.
                           AND (t.amount_exception OR t.total_minor = coalesce(
                                   p_expected_total_minor[s.nth], t.total_minor))
                           AND (SELECT array_agg(i.product_id ORDER BY i.line_no)
                                  FROM transaction_items i
                                 WHERE i.transaction_id = t.transaction_id)
                             = (SELECT array_agg(l.product ORDER BY l.nth)
                                  FROM unnest(p_line_sale, p_line_product)
                                       WITH ORDINALITY AS l (sale, product, nth)
                                 WHERE l.sale = s.nth)
                           AND (SELECT array_agg(i.quantity_milli ORDER BY i.line_no)
                                  FROM transaction_items i
                                 WHERE i.transaction_id = t.transaction_id)
                             = (SELECT array_agg(l.milli ORDER BY l.nth)
                                  FROM unnest(p_line_sale, p_line_quantity_milli)
                                       WITH ORDINALITY AS l (sale, milli, nth)
                                 WHERE l.sale = s.nth)
                      FROM transactions t
                     WHERE t.transaction_id = s.transaction_id) AS id_is_same,
                   dense_rank() OVER (ORDER BY s.scope, s.key) AS key_slot,
                   dense_rank() OVER (ORDER BY s.transaction_id) AS id_slot
              FROM unnest(p_idempotency_scope, p_idempotency_key, p_fingerprint, p_transaction_id)
                   WITH ORDINALITY AS s (scope, key, fingerprint, transaction_id, nth)
              LEFT JOIN idempotency_keys k ON k.scope = s.scope AND k.key = s.key
        LOOP
            v_key_used[v_row.nth] := v_row.is_used;
            v_key_slot[v_row.nth] := v_row.key_slot;
            v_id_slot[v_row.nth] := v_row.id_slot;
            IF v_row.is_used AND v_row.stored_id IS NULL THEN
                -- Housekeeping removed it after our INSERT had met it.
                RAISE 'an idempotency key vanished' USING ERRCODE = 'serialization_failure';
            ELSIF v_row.is_used AND v_row.is_same THEN
                v_verdict[v_row.nth] := 'replayed';
                v_replayed[v_row.nth] := v_row.stored_id;
            ELSIF v_row.id_is_same
                  AND (NOT v_row.is_used
                       OR v_row.key_is_id AND v_row.stored_id = p_transaction_id[v_row.nth]) THEN
                -- Its key was its transaction_id, and it is sent otherwise, as in a batch with its time.
                v_verdict[v_row.nth] := 'replayed';
                v_replayed[v_row.nth] := p_transaction_id[v_row.nth];
            ELSIF v_row.is_used OR v_row.id_is_same IS NOT NULL THEN
                v_verdict[v_row.nth] := 'idempotency-mismatch';
            END IF;
        END LOOP;

        -- The stock each line takes from, and what prices, totals and payments say.
        v_lines := 0;
        v_line_from := array_fill(1, ARRAY[v_sales]);
        v_line_to := array_fill(0, ARRAY[v_sales]);
        v_line_slot := '{}';
        v_line_milli := '{}';
        v_stock_milli := '{}';
        v_line_short := '{}';
        v_exception := NULL;
        FOR v_row IN
            SELECT l.sale, l.quantity_milli, i.stock_milli,
                   -- Whoever counted has not found what had been sold before.
                   p_sold_offline[l.sale] AND i.counted_at > p_sold_at[l.sale] AS is_counted,
                   CASE WHEN i.store_id IS NOT NULL
                        THEN dense_rank() OVER (ORDER BY i.store_id, i.product_id) END AS slot
              FROM unnest(p_line_sale, p_line_product, p_line_quantity_milli)
                   WITH ORDINALITY AS l (sale, product_id, quantity_milli, nth)
              LEFT JOIN inventory i ON i.store_id = p_store_id[l.sale] AND i.product_id = l.product_id
                                   AND i.ctid = ANY (v_stock_at)
             ORDER BY l.sale, l.nth
        LOOP
            v_lines := v_lines + 1;
            IF v_line_to[v_row.sale] = 0 THEN
                v_line_from[v_row.sale] := v_lines;
            END IF;
            v_line_to[v_row.sale] := v_lines;
            v_line_slot[v_lines] := v_row.slot;
            v_line_milli[v_lines] := v_row.quantity_milli;
            v_line_short[v_lines] := 0;
            IF v_row.slot IS NOT NULL THEN
                v_stock_milli[v_row.slot] := v_row.stock_milli;
            END IF;
            IF v_row.is_counted THEN
                v_line_slot[v_lines] := NULL;
                v_line_short[v_lines] := v_row.quantity_milli;
            END IF;
        END LOOP;

        v_priced := array_fill('amount-out-of-range'::text, ARRAY[v_sales]); -- a sale without lines
        v_priced_line := array_fill(NULL::int, ARRAY[v_sales]);
        FOR v_row IN
            SELECT sale, verdict, refused_line
              FROM priced_sales(v_all, p_expected_total_minor, p_sale_payment_method,
                       p_line_sale, p_line_product, p_line_quantity_milli, v_discount,
                       v_payment_from, v_payment_to, p_payment_method, p_payment_amount_minor,
                       p_payment_reference, p_prices_include_tax, v_basket_refused,
                       p_sold_offline, p_line_price_minor, p_line_tax_rate_micro)
        LOOP
            v_priced[v_row.sale] := v_row.verdict;
            v_priced_line[v_row.sale] := v_row.refused_line;
        END LOOP;

        -- In the order of the batch. Equal keys and ids: the first sale accepted holds them.
        v_before := v_take;
        v_take := array_fill(false, ARRAY[v_sales]);
        v_taken := 0;
        v_key_owner := array_fill(NULL::int, ARRAY[v_sales]);
        v_id_owner := v_key_owner;
        FOR n IN 1 .. v_sales LOOP
            CONTINUE WHEN v_verdict[n] IS NOT NULL;
            v_owner := v_key_owner[v_key_slot[n]];
            IF v_owner IS NOT NULL AND p_fingerprint[n] = p_fingerprint[v_owner] THEN
                v_verdict[n] := 'replayed';
                v_replayed[n] := p_transaction_id[v_owner];
            ELSIF v_owner IS NULL AND p_fingerprint[n] = p_fingerprint[v_id_owner[v_id_slot[n]]]
                  AND p_store_id[n] = p_store_id[v_id_owner[v_id_slot[n]]]
                  AND p_register_id[n] = p_register_id[v_id_owner[v_id_slot[n]]] THEN
                v_verdict[n] := 'replayed';
                v_replayed[n] := p_transaction_id[n];
            ELSIF v_owner IS NOT NULL OR v_id_owner[v_id_slot[n]] IS NOT NULL THEN
                v_verdict[n] := 'idempotency-mismatch';
            ELSIF v_priced[n] IS NOT NULL THEN
                v_verdict[n] := v_priced[n];
                v_refused_line[n] := v_priced_line[n];
            ELSE
                -- Take the stock line by line. If one line is short: what was sold offline has left
                -- the shop, so the stock was wrong and is now nothing; else give all back.
                v_short_line := NULL;
                FOR l IN v_line_from[n] .. v_line_to[n] LOOP
                    CONTINUE WHEN v_line_slot[l] IS NULL;
                    v_stock_milli[v_line_slot[l]] := v_stock_milli[v_line_slot[l]] - v_line_milli[l];
                    CONTINUE WHEN v_stock_milli[v_line_slot[l]] >= 0;
                    IF p_sold_offline[n] THEN
                        v_line_short[l] := -v_stock_milli[v_line_slot[l]];
                        v_stock_milli[v_line_slot[l]] := 0;
                        v_exception[n] := true;
                    ELSE
                        v_short_line := l;
                        EXIT;
                    END IF;
                END LOOP;
                IF v_short_line IS NULL THEN
                    v_take[n] := true;
                    v_taken := v_taken + 1;
                    v_key_owner[v_key_slot[n]] := n;
                    v_id_owner[v_id_slot[n]] := n;
                ELSE
                    v_verdict[n] := 'insufficient-stock';
                    v_refused_line[n] := v_short_line - v_line_from[n];
                    FOR l IN v_line_from[n] .. v_short_line LOOP
                        CONTINUE WHEN v_line_slot[l] IS NULL;
                        v_stock_milli[v_line_slot[l]] := v_stock_milli[v_line_slot[l]] + v_line_milli[l];
                    END LOOP;
                END IF;
            END IF;
        END LOOP;

        -- Hand back the receipt numbers of what is not recorded.
        UPDATE registers r SET last_receipt = r.last_receipt - unused.receipts
          FROM (SELECT s.store_id, s.register_id,
                       count(*) FILTER (WHERE s.before) - count(*) FILTER (WHERE s.take) AS receipts
                  FROM unnest(p_store_id, p_register_id, v_before, v_take)
                       AS s (store_id, register_id, before, take)
                 GROUP BY s.store_id, s.register_id) unused
         WHERE r.store_id = unused.store_id AND r.register_id = unused.register_id;
        EXIT WHEN v_taken = 0;
        v_plain := true;
    END LOOP;

    -- The scope of a key is the principal; a sale itself names the cashier in whose name it was made.
    IF v_taken > 0 AND p_idempotency_scope <> p_cashier_id THEN
        INSERT INTO audit_log (actor, action, entity, entity_id, store_id, after)
        SELECT s.scope, 'transaction.record', 'transaction', s.transaction_id, s.store_id,
               jsonb_build_object('cashierId', s.cashier_id)
          FROM unnest(p_idempotency_scope, p_cashier_id, p_transaction_id, p_store_id, v_take)
               AS s (scope, cashier_id, transaction_id, store_id, take)
         WHERE s.take AND s.scope <> s.cashier_id;
    END IF;

    IF v_taken = v_sales THEN
        RETURN;
    END IF;

    -- A refusal leaves nothing behind: no key, no register; and a key that was reserved for a sale
    -- refused but then used by a later one of the batch belongs to that one.
    DELETE FROM idempotency_keys k
     USING unnest(p_idempotency_scope, p_idempotency_key, v_key_slot, v_key_used)
           AS s (scope, key, slot, is_used)
     WHERE k.scope = s.scope AND k.key = s.key AND NOT s.is_used AND v_key_owner[s.slot] IS NULL;
    UPDATE idempotency_keys k SET fingerprint = s.fingerprint, transaction_id = s.transaction_id
      FROM unnest(p_idempotency_scope, p_idempotency_key, p_fingerprint, p_transaction_id, v_take)
           AS s (scope, key, fingerprint, transaction_id, take)
     WHERE k.scope = s.scope AND k.key = s.key AND s.take
       AND (k.fingerprint, k.transaction_id) <> (s.fingerprint, s.transaction_id);
    DELETE FROM registers r
     USING unnest(p_store_id, p_register_id) AS s (store_id, register_id)
     WHERE r.store_id = s.store_id AND r.register_id = s.register_id AND r.last_receipt = 0
       AND r.last_refund = 0;

    RETURN QUERY
    SELECT s.nth::int, s.verdict, s.refused_line,
           t.transaction_id, t.recorded_at, t.sold_at, t.business_date, t.store_id, t.register_id,
           t.cashier_id, t.currency, t.prices_include_tax, t.subtotal_minor, t.discount_total_minor,
           t.tax_total_minor, t.total_minor, t.change_minor, t.payment_method,
           -- As first answered, whatever became of it since.
           CASE WHEN t.transaction_id IS NOT NULL THEN 'completed' END,
           t.receipt_number,
           t.item_product_ids, t.item_names, t.item_quantities_milli, t.item_unit_prices_minor,
           t.item_discounts_minor, t.item_tax_rates_micro, t.item_taxes_minor, t.item_totals_minor,
           t.payment_methods, t.payment_amounts_minor, t.payment_references,
           t.customer_id, t.basket_discount_minor, t.sold_offline, t.stock_exception,
           t.item_shortages_milli, t.price_exception, t.amount_exception
      FROM unnest(v_verdict, v_refused_line, v_replayed)
           WITH ORDINALITY AS s (verdict, refused_line, replayed, nth)
      LEFT JOIN recorded_sales t ON t.transaction_id = s.replayed
     WHERE s.verdict IS NOT NULL;
END $$;

DO $mend$
DECLARE
    v_mend record;
    v_text text;
BEGIN
    FOR v_mend IN SELECT * FROM (VALUES

('set_stock_level',
$old$           SET stock_milli = coalesce(p_stock_milli, i.stock_milli),
$old$,
$new$           SET stock_milli = coalesce(p_stock_milli, i.stock_milli),
               counted_at = CASE WHEN p_stock_milli IS NULL THEN i.counted_at ELSE now() END,
$new$),
('write_stock_document',
$old$UPDATE inventory i SET stock_milli = i.stock_milli + m.delta_milli, updated_at = now()
$old$,
$new$UPDATE inventory i
           SET stock_milli = i.stock_milli + m.delta_milli, updated_at = now(),
               counted_at = CASE WHEN p_kind = 'count' THEN now() ELSE i.counted_at END
$new$)

    ) AS mend (function, old, new) LOOP
        v_text := pg_get_functiondef(v_mend.function::regproc);
        IF cardinality(string_to_array(v_text, v_mend.old)) <> 2 THEN
            RAISE 'not once in %: %', v_mend.function, v_mend.old;
        END IF;
        EXECUTE replace(v_text, v_mend.old, v_mend.new);
    END LOOP;
END $mend$;

-- Last, as from here on to the end of this migration nobody reads or sells.
ALTER TABLE inventory ADD COLUMN counted_at timestamptz; -- the last count; NULL: none yet

DROP TRIGGER transactions_immutable ON transactions;
CREATE TRIGGER transactions_immutable BEFORE DELETE OR UPDATE OF
    transaction_id, recorded_at, sold_at, business_date, store_id, register_id, cashier_id, currency,
    prices_include_tax, subtotal_minor, discount_total_minor, tax_total_minor, total_minor,
    change_minor, payment_method, receipt_number, customer_id, basket_discount_minor, sold_offline,
    stock_exception, price_exception, amount_exception ON transactions
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE OR REPLACE VIEW recorded_sales AS
SELECT t.transaction_id, t.recorded_at, t.sold_at, t.business_date, t.store_id, t.register_id,
       t.cashier_id, t.currency, t.prices_include_tax, t.subtotal_minor, t.discount_total_minor,
       t.tax_total_minor, t.total_minor, t.change_minor, t.payment_method, t.status,
       t.receipt_number,
       i.item_product_ids, i.item_names, i.item_quantities_milli, i.item_unit_prices_minor,
       i.item_discounts_minor, i.item_tax_rates_micro, i.item_taxes_minor, i.item_totals_minor,
       p.payment_methods, p.payment_amounts_minor, p.payment_references,
       t.customer_id, t.basket_discount_minor, t.sold_offline, t.stock_exception,
       CASE WHEN t.stock_exception THEN i.item_shortages_milli END AS item_shortages_milli,
       t.price_exception, t.amount_exception
  FROM transactions t
 CROSS JOIN LATERAL (
        SELECT array_agg(product_id) AS item_product_ids, array_agg(name) AS item_names,
               array_agg(quantity_milli) AS item_quantities_milli,
               array_agg(unit_price_minor) AS item_unit_prices_minor,
               array_agg(discount_minor) AS item_discounts_minor,
               array_agg(tax_rate_micro) AS item_tax_rates_micro,
               array_agg(tax_minor) AS item_taxes_minor,
               array_agg(line_total_minor) AS item_totals_minor,
               array_agg(shortage_milli) AS item_shortages_milli
          FROM (SELECT * FROM transaction_items WHERE transaction_id = t.transaction_id
                 ORDER BY line_no) line) i
 CROSS JOIN LATERAL (
        SELECT array_agg(method) AS payment_methods, array_agg(amount_minor) AS payment_amounts_minor,
               array_agg(reference) AS payment_references
          FROM (SELECT * FROM payments WHERE transaction_id = t.transaction_id
                 ORDER BY payment_no) payment) p;
