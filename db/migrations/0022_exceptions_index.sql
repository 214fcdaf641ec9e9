-- SPDX-License-Identifier: Apache-2.0
-- tillway: outside a transaction
-- Exceptions can be found, by one index for all kinds: they are few. It replaces the one of stock alone, which
-- nobody read. Sales that are none have no entry in it: they cost the till nothing.

CREATE INDEX CONCURRENTLY transactions_exceptions_idx
    ON transactions (store_id, business_date, transaction_id)
    WHERE stock_exception OR price_exception OR amount_exception;

DROP INDEX CONCURRENTLY IF EXISTS transactions_exception_idx;
