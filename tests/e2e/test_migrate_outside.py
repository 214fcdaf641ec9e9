# SPDX-License-Identifier: Apache-2.0
"""A migration that makes an index outside a transaction, by the one of 0022: nobody waits for it, and what a
try has left that was cut off is mended by the next."""

import select
import signal

import pytest

from kit.processes import eventually

NAME, INDEX = "0022_exceptions_index", "transactions_exceptions_idx"


@pytest.fixture
def before(empty_database):
    empty_database.migrated_before(NAME[:4])
    return empty_database


@pytest.fixture
def seller(before):
    """Has sold, and has not come to his COMMIT."""
    connection = before.connect(autocommit=False)
    connection.cursor().execute("LOCK TABLE transactions IN ROW EXCLUSIVE MODE")
    yield connection
    connection.close()


def index(database):
    """(oid, whole) or None"""
    rows = database.rows("SELECT indexrelid, indisvalid FROM pg_index WHERE indexrelid = to_regclass(%s)", INDEX)
    return rows[0] if rows else None


def is_remembered(database):
    return database.value("SELECT count(*) FROM tillway_migrations WHERE name = %s", NAME) == 1


def waiting(database, what):
    """The backend whose statement begins so and waits for others, or None."""
    rows = database.rows("SELECT pid FROM pg_stat_activity WHERE starts_with(query, %s) AND state = 'active'"
                         " AND datname = current_database() AND cardinality(pg_blocking_pids(pid)) > 0",
                         what + " CONCURRENTLY")
    return rows[0][0] if rows else None


def waits(database, process):
    eventually(lambda: waiting(database, "CREATE INDEX") or process.poll() is not None, what="it waits for the seller")
    assert process.poll() is None, process.communicate()
    return waiting(database, "CREATE INDEX")


def line(process):
    assert select.select([process.stdout], [], [], 60)[0], "nothing is said"
    return process.stdout.readline()


def ends_well(process):
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0 and err == "" and "schema is up to date" in out, (out, err)
    return out


def test_who_writes_does_not_wait_for_an_index(before, seller):
    """Behind a transaction that is open the others sell on. It is said once for which, and that takes as long as
    the role's own timeouts would not let it."""
    before.rows("DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET lock_timeout = ''100ms''', current_database());"
                " EXECUTE format('ALTER DATABASE %I SET statement_timeout = ''1s''', current_database()); END $$")
    process = before.spawn_migrate()
    waits(before, process)
    other = before.connect()
    with other.cursor() as cursor:
        cursor.execute("SET lock_timeout = '20s'; SET statement_timeout = '20s'")
        cursor.execute("INSERT INTO registers (store_id, register_id, last_receipt) VALUES ('s', 'r', 1)")
        cursor.execute("INSERT INTO transactions (transaction_id, sold_at, business_date, store_id, register_id,"
                       " cashier_id, currency, prices_include_tax, subtotal_minor, discount_total_minor,"
                       " tax_total_minor, total_minor, change_minor, payment_method, status, receipt_number,"
                       " price_exception) VALUES (gen_random_uuid(), now(), current_date, 's', 'r', 'c', 'EUR',"
                       " true, 1, 0, 0, 1, 0, 'cash', 'completed', 1, true)")
    said = line(process)
    assert "waits for a transaction of others" in said and "pid %d," % seller.get_backend_pid() in said
    assert process.poll() is None and not index(before)[1] and not is_remembered(before)
    seller.rollback()
    assert "waits" not in ends_well(process)
    assert index(before)[1] and is_remembered(before)
    other.close()
    before.rows("SET enable_seqscan = off")
    plan = before.rows("EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) SELECT FROM transactions"
                       " WHERE store_id = 's' AND (stock_exception OR price_exception OR amount_exception)")
    assert INDEX in plan[0][0] and "rows=1" in plan[0][0], plan


@pytest.mark.parametrize("how", ["interrupted", "connection lost"])
def test_the_next_run_mends_what_was_cut_off(before, seller, how):
    process = before.spawn_migrate()
    backend = waits(before, process)
    if how == "interrupted":
        process.send_signal(signal.SIGINT)
    else:
        before.rows("SELECT pg_terminate_backend(%s)", backend)
    _, err = process.communicate(timeout=60)
    assert process.returncode != 0 and len(err.splitlines()) == (how != "interrupted"), err
    eventually(lambda: not before.rows("SELECT 1 FROM pg_stat_activity WHERE pid = %s", backend), what="it has ended")
    half = index(before)
    assert half[1] is False and not is_remembered(before)
    again = before.spawn_migrate()
    eventually(lambda: waiting(before, "DROP INDEX"), what="it drops what is no use")
    seller.rollback()
    ends_well(again)
    assert index(before)[1] and index(before)[0] != half[0] and is_remembered(before)


def test_an_index_that_is_whole_is_not_made_again(before):
    """Cut off between the index and what remembers it."""
    ends_well(before.spawn_migrate())
    made = index(before)
    before.rows("DELETE FROM tillway_migrations WHERE name = %s", NAME)
    assert "applied " + NAME in ends_well(before.spawn_migrate())
    assert index(before) == made and is_remembered(before)


def test_two_at_a_time(before, seller):
    """The second waits, in no transaction: else the first would wait for it, and it for the first."""
    first = before.spawn_migrate()
    waits(before, first)
    second = before.spawn_migrate()
    assert "another one" in line(second)
    seller.rollback()
    outs = [ends_well(first), ends_well(second)]
    assert "applied " + NAME in outs[0] and ": 0 of" in outs[1], outs


def test_the_wait_has_an_end(before, seller):
    process = before.spawn_migrate(TILLWAY_DB_MIGRATE_WAIT="1s")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1 and len(err.splitlines()) == 1 and "db.migrate_wait" in err
    assert not index(before)[1] and not is_remembered(before)
    seller.rollback()
    ends_well(before.spawn_migrate(TILLWAY_DB_MIGRATE_WAIT="1s"))
    assert index(before)[1]
