# SPDX-License-Identifier: Apache-2.0
"""Behind pgbouncer in transaction mode (db.prepare: false): each transaction may meet another server
connection, which clients of any kind share."""

import json
import threading
import time
import uuid

import psycopg2
import pytest

from kit.clients import Api, Connection, Load, assert_problem, at_once
from kit.pgbouncer import Pgbouncer
from kit.processes import eventually, patient, scaled
from kit.till import Till

pytestmark = pytest.mark.heavy


@pytest.fixture
def pooled(start, database, work):
    """(pgbouncer, gateway(...)): gateways that reach the database through pgbouncer alone."""
    with Pgbouncer(work, database.url) as pooler:
        yield pooler, lambda **db: start(db={"url": pooler.url, "prepare": False, **db})


def settings_of(pooler):
    """What another client of the pooler finds on each of its server connections."""
    clients = [psycopg2.connect(pooler.url) for _ in range(2)]
    try:
        for client in clients:  # each holds a server connection until its transaction ends
            with client.cursor() as cursor:
                cursor.execute("SELECT pg_backend_pid(), current_setting('statement_timeout'),"
                               " current_setting('lock_timeout')")
                yield cursor.fetchone()
    finally:
        for client in clients:
            client.close()


def test_selling_and_reading_through_a_pooler(pooled, shop, database):
    """Sales, replays, mismatches, reads and lists as without one; many at once share two server
    connections, and nobody's timeouts stay on them."""
    pooler, gateway = pooled
    gateway = gateway()
    bread, token = shop.product(250, stock=100000), shop.token()
    body, key = shop.basket(bread), str(uuid.uuid4())
    with Api(gateway, token) as api:
        first = api.sell(body, key)
        assert first.status_code == 201
        again = api.sell(body, key)
        assert again.content == first.content and again.headers["idempotency-replayed"] == "true"
        assert_problem(api.sell(shop.basket(bread, 2), key), 422, "idempotency-mismatch")
        sold = first.json()["transactionId"]
        assert api.get("/v1/transactions/" + sold).json()["transactionId"] == sold
        assert api.get("/v1/products?limit=1").status_code == 200

    def work(i):
        connection = Connection(gateway, token)
        for _ in range(scaled(40)):
            assert connection.request("GET", "/v1/products/" + bread)[0] == 200
            status = connection.request("POST", "/v1/transactions", json.dumps(body).encode(),
                                        str(uuid.uuid4()))[0]
            assert status == 201
        connection.close()

    at_once(8, work)
    assert shop.sales() == 1 + 8 * scaled(40)
    assert shop.stock(bread) == 100000 - shop.sales()
    found = list(settings_of(pooler))
    assert len({pid for pid, *_ in found}) == 2, "both server connections are looked at"
    assert {tuple(rest) for _, *rest in found} == {("0", "0")}
    assert not gateway.events("db_query_failed") and not gateway.events("db_connection_lost")
    gateway.stop()


def test_timeouts_hold_through_a_pooler(start, shop, own_database, work):
    """D3: statement_timeout of each lane comes with the statement, and so does lock_timeout."""
    own_database.rows("INSERT INTO products (product_id, name, price_minor) VALUES (%s, 'x', 1)",
                      product := uuid.uuid4())
    with Pgbouncer(work, own_database.url) as pooler:
        gateway = start(workers=1, db={"url": pooler.url, "prepare": False, "fast_timeout": "300ms"})
        gateway.wait_connected()
        lock = own_database.connect(autocommit=False)
        with lock.cursor() as cursor:
            cursor.execute("LOCK TABLE products IN ACCESS EXCLUSIVE MODE")
        with Api(gateway, shop.token()) as api:
            answer = api.get("/v1/products/%s" % product)
            assert_problem(answer, 504, "deadline-exceeded")
            assert 0.29 < answer.elapsed.total_seconds() < patient(0.6)
            lock.rollback()
            lock.close()
            assert api.get("/v1/products/%s" % product).status_code == 200
        assert not gateway.events("db_connection_lost"), "PostgreSQL itself has ended the statement"
        gateway.stop()


def test_an_error_costs_a_neighbour_nothing_through_a_pooler(pooled, shop, database):
    """D4: a statement that fails ends its sync alone, and the server connection is clean behind it."""
    _, gateway = pooled
    gateway = gateway()
    taken, token = "sku-" + uuid.uuid4().hex, shop.token("manager")
    with Api(gateway, token) as api:
        made = api.post("/v1/products", {"name": "Tea", "price": 1, "sku": taken})
        assert made.status_code == 201
        path = "/v1/products/" + made.json()["productId"]
        with Load(gateway, token, 3, lambda c: _must_be(200, c.request("GET", path)[0])) as load:
            for _ in range(scaled(50)):
                assert api.post("/v1/products", {"name": "Tea", "price": 1, "sku": taken}
                                ).status_code == 409
        assert not load.errors and not load.lost and load.done > 0
    gateway.stop()


def _must_be(wanted, status):
    assert status == wanted, status


@pytest.mark.parametrize("what", ["pgbouncer", "postgresql"])
def test_a_restart_behind_a_pooler(pooled, shop, postgres, database, what):
    """D1: the pooler, or PostgreSQL behind it, restarts under load: each key sells once."""
    pooler, gateway = pooled
    gateway = gateway()
    bread, token = shop.product(stock=100000), shop.token()
    tills = [Till(gateway, token, json.dumps(shop.basket(bread)).encode()) for _ in range(4)]
    for till in tills:
        till.start()
    try:
        for _ in range(2):
            Till.wait_for_more(tills, scaled(100))
            if what == "pgbouncer":
                pooler.stop()
                pooler.start()
            else:
                postgres.restart_immediate()
        Till.wait_for_more(tills, scaled(100))
    finally:
        Till.stop_all(tills)
    Till.judge(tills, shop, database, bread, 100000)
    eventually(gateway.is_ready)
    assert not gateway.events("db_query_failed"), "a pooler's goodbye is a lost connection"
    gateway.stop()
