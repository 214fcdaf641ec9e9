# SPDX-License-Identifier: Apache-2.0
"""Group commit: sales of one moment share a call of record_sales, and nothing else."""

import json
import os
import signal
import statistics
import threading
import time
import uuid

import pytest

from kit.clients import LOST, Api, Connection, Load, assert_problem
from kit.processes import eventually, patient, scaled
from kit.proxy import Proxy
from kit.shop import Shop

pytestmark = pytest.mark.heavy

BATCHES, BATCHED, SPLITS = ("tillway_db_batches_total", "tillway_db_batched_queries_total",
                            "tillway_db_batch_splits_total")
QUEUED = 'tillway_db_queue_length{lane="write"}'

# Time enough to hold a batch up: a lock is waited for a sixteenth of write_timeout. (So clients are made
# before the gate is shut.)
PATIENT = {"write_timeout": "60s", "queue_timeout": "30s"}


@pytest.fixture
def gathering(start, database):
    """gathering(a database's URL, ...): start of a gateway with one worker that can be held up."""

    def one(url=None, http=None, **db):
        return start(workers=1, http={"deadline": "30s", **(http or {})},
                     db={**PATIENT, "url": url or database.url, **db})

    return one


class Gate:
    """A sale of a locked product, which is the worker's batch until `open`: what is sold in the
    meantime is queued."""

    def __init__(self, gateway, shop, database):
        self._gateway, self._database, self._shop = gateway, database, shop
        self._token = shop.token(username="gate-" + shop.store)
        self._product, self._sale, self.status = shop.product(stock=100), None, None

    def __enter__(self):
        before = self._gateway.metrics()[BATCHES]
        self._lock = lock_product(self._database, self._product)
        self._sale = threading.Thread(target=self._sell)
        self._sale.start()
        eventually(lambda: self._gateway.metrics()[BATCHES] == before + 1, what="a batch is in flight")
        return self

    def _sell(self):
        connection = Connection(self._gateway, self._token)
        body = json.dumps(self._shop.basket(self._product, registerId="gate")).encode()
        try:
            self.status = connection.request("POST", "/v1/transactions", body, "gate")[0]
        except LOST:
            pass
        connection.close()

    def wait_queued(self, n):
        eventually(lambda: self._gateway.metrics()[QUEUED] == n, what="%d are queued" % n)

    def open(self):
        if self._lock:
            self._lock.close()
        self._lock = None

    def __exit__(self, *_):
        self.open()
        self._sale.join(20)


def lock_product(database, product):
    connection = database.connect(autocommit=False)
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM inventory WHERE product_id = %s FOR UPDATE",
                       (uuid.UUID(product),))
    return connection


class Sales:
    """Sells baskets, one client each, at the same time; `answers` in the order of the baskets."""

    def __init__(self, gateway, token, sales, clients=()):
        self.answers = [None] * len(sales)
        self._clients = clients or [Api(gateway, token, timeout_s=40) for _ in sales]
        self._threads = [threading.Thread(target=self._sell, args=(i, *sale))
                         for i, sale in enumerate(sales)]
        for thread in self._threads:
            thread.start()

    def _sell(self, i, body, key):
        with self._clients[i] as api:
            self.answers[i] = api.sell(body, key)

    def join(self):
        for thread in self._threads:
            thread.join(60)
        assert None not in self.answers, "a client hangs"
        return self.answers

    def statuses(self):
        return [answer.status_code for answer in self.join()]


def key():
    return str(uuid.uuid4())


def sell_gathered(gateway, shop, database, sales, batches=1):
    """The answers of sales that were sent as so many batches."""
    clients = [Api(gateway, shop.token(), timeout_s=40) for _ in sales]
    with Gate(gateway, shop, database) as gate:
        before = gateway.metrics()
        selling = Sales(gateway, shop.token(), sales, clients)
        gate.wait_queued(len(sales))
        gate.open()
        answers = selling.join()
    after = gateway.metrics()
    assert gate.status == 201
    assert (after[BATCHES] - before[BATCHES], after[BATCHED] - before[BATCHED]) == (batches, len(sales))
    return answers


# ---- verdicts -------------------------------------------------------------------------------------


def test_each_sale_of_a_batch_keeps_its_own_verdict(gathering, shop, database):
    """Recorded, replayed, mismatch, out of stock, unknown product, and copies of one new key: each
    client gets what it would have got alone. Each basket has a quantity of its own to be told by."""
    gateway = gathering()
    bread, scarce = shop.product(250, stock=10000), shop.product(stock=3)
    old, wanted = [(shop.basket(bread, 500 + i), key()) for i in range(10)], []
    with Api(gateway, shop.token()) as api:
        first = [api.sell(*sale) for sale in old]
    assert {answer.status_code for answer in first} == {201}

    sales = [(shop.basket(bread, 1 + i, registerId="r%d" % (i % 3)), key()) for i in range(8)]
    wanted += ["recorded"] * 8
    sales += old[:5]
    wanted += ["replayed"] * 5
    sales += [(shop.basket(bread, 7), old_key) for _, old_key in old[5:]]
    wanted += ["idempotency-mismatch"] * 5
    sales += [({"items": [{"productId": bread, "quantity": 30 + i}, {"productId": scarce, "quantity": 4}],
                "paymentMethod": "cash"}, key()) for i in range(4)]
    wanted += ["insufficient-stock"] * 4
    sales += [(shop.basket(str(uuid.uuid4())), key()) for _ in range(4)]
    wanted += ["unknown-product"] * 4
    copy = (shop.basket(bread, 99), key())
    sales += [copy] * 4
    answers = sell_gathered(gateway, shop, database, sales)

    for i, (answer, verdict) in enumerate(zip(answers, wanted)):
        if verdict == "recorded":
            assert answer.status_code == 201 and "idempotency-replayed" not in answer.headers
            assert answer.json()["items"][0]["quantity"] == 1 + i
            assert answer.json()["registerId"] == "r%d" % (i % 3)
        elif verdict == "replayed":
            assert answer.headers["idempotency-replayed"] == "true"
            assert answer.content == first[i - 8].content
        else:
            problem = assert_problem(answer, 409 if verdict == "insufficient-stock" else 422, verdict)
            pointers = {"insufficient-stock": ["/items/1"], "unknown-product": ["/items/0"]}
            assert [e["pointer"] for e in problem.get("errors", [])] == pointers.get(verdict, [])
    copies = answers[-4:]
    assert len({answer.content for answer in copies}) == 1 and copies[0].json()["items"][0]["quantity"] == 99
    assert sum("idempotency-replayed" not in answer.headers for answer in copies) == 1
    assert shop.sales() == 10 + 1 + 8 + 1
    assert shop.stock(bread) == 10000 - sum(range(500, 510)) - sum(range(1, 9)) - 99
    assert shop.stock(scarce) == 3


def test_100_tills_sell_the_last_item_in_two_batches(gathering, shop, database):
    """B8: one sale; the others name the line. A batch has 64 sales at most."""
    gateway = gathering()
    last = shop.product(stock=1)
    answers = sell_gathered(gateway, shop, database, [(shop.basket(last), key()) for _ in range(100)], 2)
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 99
    assert shop.stock(last) == 0


def test_big_sales_are_not_gathered_beyond_a_size(gathering, shop, database):
    """500 lines take more than 20 KB: some go together, not all."""
    gateway = gathering()
    bread = shop.product(stock=100000)
    body = {"items": [{"productId": bread, "quantity": 1}] * 500, "paymentMethod": "card"}
    with Gate(gateway, shop, database) as gate:
        before = gateway.metrics()[BATCHES]
        selling = Sales(gateway, shop.token(), [(body, key()) for _ in range(6)])
        gate.wait_queued(6)
        gate.open()
        assert selling.statuses() == [201] * 6
    assert 2 <= gateway.metrics()[BATCHES] - before <= 3
    assert shop.stock(bread) == 100000 - 6 * 500


def test_an_idle_worker_sends_at_once(gathering, shop):
    """No timer: sales one after the other are batches of one, as fast as a call."""
    gateway, bread = gathering(), shop.product()
    n, took = 100, []
    with Api(gateway, shop.token()) as api:
        api.sell(shop.basket(bread))
        before = gateway.metrics()
        for _ in range(n):
            answer = api.sell(shop.basket(bread))
            took.append(answer.elapsed.total_seconds())
            assert answer.status_code == 201
    after = gateway.metrics()
    assert after[BATCHES] - before[BATCHES] == after[BATCHED] - before[BATCHED] == n
    assert statistics.median(took) < patient(0.05)


def test_a_hot_product_under_load(start, shop):
    """Both workers' batches want the same rows in different orders: no sale fails, none is lost."""
    gateway = start(http={"deadline": "20s"}, db={"write_timeout": "20s", "queue_timeout": "20s"})
    a, b, token = shop.product(stock=100000), shop.product(stock=100000), shop.token()
    orders = [json.dumps({"items": [{"productId": p, "quantity": 1} for p in order],
                          "paymentMethod": "cash"}).encode() for order in ((a, b), (b, a))]
    sold, wrong = [], []

    def sell(connection):
        status, _, text = connection.request("POST", "/v1/transactions",
                                             orders[len(sold) % 2], str(uuid.uuid4()))
        (sold if status == 201 else wrong).append(text)

    with Load(gateway, token, 50, sell) as load:
        eventually(lambda: len(sold) > scaled(2000) or wrong or load.errors, 60)
    assert wrong == [] and load.errors == [] and load.lost == 0
    ids = {json.loads(text)["transactionId"] for text in sold}
    assert len(ids) == len(sold) == shop.sales()
    assert shop.stock(a) == shop.stock(b) == 100000 - len(sold)
    metrics = gateway.metrics()
    assert metrics[BATCHED] >= 2 * metrics[BATCHES], "sales were gathered"


# ---- errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("state, status, code", [
    ("P0001", 500, "internal"), ("22012", 500, "internal"), ("23505", 503, "overloaded"),
    ("57014", 504, "deadline-exceeded"), ("40001", 503, "database-unavailable")])
def test_only_the_culprit_fails(gathering, issuer, own_database, state, status, code):
    """An SQL error that one sale of a batch raises: its neighbours are recorded, each once."""
    gateway = gathering(own_database.url)
    shop = Shop(own_database, issuer)
    good, bad = shop.product(stock=1000), shop.product(name="bad")
    own_database.rows("""
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN RAISE 'refused' USING ERRCODE = '%s'; END $$;
        CREATE TRIGGER refuse BEFORE INSERT ON transaction_items FOR EACH ROW
            WHEN (NEW.name = 'bad') EXECUTE FUNCTION refuse()""" % state)
    sales = [(shop.basket(bad if i == 7 else good, 1 + i), key()) for i in range(20)]
    with Gate(gateway, shop, own_database) as gate:
        before = gateway.metrics()
        selling = Sales(gateway, shop.token(), sales)
        gate.wait_queued(20)
        gate.open()
        answers = selling.join()
    for i, answer in enumerate(answers):
        if i == 7:
            assert_problem(answer, status, code)
        else:
            assert answer.status_code == 201 and answer.json()["items"][0]["quantity"] == 1 + i
            assert "idempotency-replayed" not in answer.headers
    assert shop.sales() == 19 + 1
    assert shop.stock(good) == 1000 - sum(range(1, 21)) + 8
    after = gateway.metrics()
    assert after[SPLITS] - before[SPLITS] == (0 if state == "40001" else 1)
    assert after["tillway_db_errors_total"] - before["tillway_db_errors_total"] == 1
    eventually(lambda: len(gateway.events("db_query_failed")) == (1 if status == 500 else 0),
               what="the culprit's alone is told")


def test_a_lock_costs_a_batch_little(start, shop, database):
    """D3: while somebody holds a product's row and tills want it, other sales of the worker go on."""
    gateway = start(workers=1)
    locked, free, token = shop.product(stock=50), shop.product(), shop.token()
    lock = lock_product(database, locked)
    stuck = [(shop.basket(locked, registerId="stuck-%d" % i), key()) for i in range(4)]
    slowest, sold, wrong = [0.0], [], []

    def sell(connection):
        began = time.monotonic()
        register = "free-%d" % threading.get_ident()
        status, _, text = connection.request(
            "POST", "/v1/transactions", json.dumps(shop.basket(free, registerId=register)).encode(), key())
        slowest[0] = max(slowest[0], time.monotonic() - began)
        (sold if status == 201 else wrong).append(text)

    with Load(gateway, token, 8, sell) as load:
        eventually(lambda: len(sold) > 20)
        selling = Sales(gateway, token, stuck)
        answers = selling.join()
    assert wrong == [] and load.errors == [] and len(sold) > 20 + 8  # more than what waits with them
    assert slowest[0] < min(patient(1.2), 1.9), "%.3f s" % slowest[0]
    for answer in answers:
        assert (answer.status_code, answer.json()["code"]) in (
            (503, "outcome-unknown"), (504, "deadline-exceeded"))
        assert answer.elapsed.total_seconds() < 2.05 + patient(0.3)
    lock.close()
    with Api(gateway, token) as api:
        assert {api.sell(*sale).status_code for sale in stuck} == {201}
    assert shop.stock(locked) == 50 - len(stuck)


# ---- the connection is lost -----------------------------------------------------------------------


def sell_all_again(gateway, shop, sales):
    """The answers under the same keys, once the database is back."""
    with Api(gateway, shop.token()) as api:
        return [eventually(lambda sale=sale: (a := api.sell(*sale)).status_code == 201 and a)
                for sale in sales]


def test_a_backend_is_killed_in_mid_batch(gathering, shop, database, postgres):
    """D1: kill -9: every sale of the batch is told that its outcome is unknown; then the keys tell."""
    gateway = gathering()
    bread, held = shop.product(stock=100), shop.product(stock=100)
    sales = [(shop.basket(held if i == 5 else bread), key()) for i in range(10)]
    lock = lock_product(database, held)
    with Gate(gateway, shop, database) as gate:
        batches = gateway.metrics()[BATCHES]
        selling = Sales(gateway, shop.token(), sales)
        gate.wait_queued(10)
        gate.open()
        eventually(lambda: gateway.metrics()[BATCHES] == batches + 1)
        pid = eventually(lambda: (r := database.rows(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
            " AND application_name LIKE 'tillway worker %%' AND wait_event_type = 'Lock'")) and
            len(r) == 1 and r[0][0])
        os.kill(pid, signal.SIGKILL)  # PostgreSQL then ends all the others and recovers
        for answer in selling.join():
            assert_problem(answer, 503, "outcome-unknown")
            assert answer.headers["retry-after"] == "1"
    lock.close()
    database.close()
    eventually(gateway.is_ready)
    again = sell_all_again(gateway, shop, sales)
    assert len({answer.json()["transactionId"] for answer in again}) == 10
    assert eventually(shop.sales) == 10 + 1
    assert (shop.stock(bread), shop.stock(held)) == (91, 99)


def test_a_batch_whose_answers_are_lost_is_told_by_its_keys(start, shop, database):
    """D1: it was committed: 503 outcome-unknown for each, and each key then yields its own sale."""
    proxy, url = Proxy.before(database.url)
    proxy.open()
    with proxy:
        gateway = start(workers=1, http={"deadline": "5s"}, db={
            "url": url, "write_timeout": "60s", "queue_timeout": "5s"})
        bread, held = shop.product(stock=1000), shop.product(stock=100)
        sales = [(shop.basket(held if i == 3 else bread, 1 + i), key()) for i in range(10)]
        lock = lock_product(database, held)
        with Gate(gateway, shop, database) as gate:
            batches = gateway.metrics()[BATCHES]
            selling = Sales(gateway, shop.token(), sales)
            gate.wait_queued(10)
            gate.open()
            eventually(lambda: gateway.metrics()[BATCHES] == batches + 1 and gate.status)
            proxy.silent.set()
            lock.close()
            eventually(lambda: shop.sales() == 10 + 1, what="PostgreSQL has recorded it")
            for answer in selling.join():
                assert_problem(answer, 503, "outcome-unknown")
        proxy.silent.clear()
        again = sell_all_again(gateway, shop, sales)
        for i, answer in enumerate(again):
            assert answer.headers["idempotency-replayed"] == "true"
            assert answer.json()["items"][0]["quantity"] == 1 + i
        assert shop.sales() == 10 + 1
        gateway.stop()


# ---- the queue ------------------------------------------------------------------------------------


def test_a_client_that_leaves_the_queue_has_sold(gathering, shop, database):
    """B2: a sale that was taken over is recorded, whoever waits for it."""
    gateway = gathering()
    bread, sale_key, token = shop.product(stock=10), key(), shop.token()
    with Gate(gateway, shop, database) as gate:
        leaver = Connection(gateway, token).connect()
        body = json.dumps(shop.basket(bread)).encode()
        leaver.sock.sendall(b"POST /v1/transactions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n"
                            b"Content-Type: application/json\r\nIdempotency-Key: %s\r\n"
                            b"Content-Length: %d\r\n\r\n%s" % (token.encode(), sale_key.encode(),
                                                                len(body), body))
        gate.wait_queued(1)
        leaver.close()
        others = Sales(gateway, token, [(shop.basket(bread), key()) for _ in range(3)])
        gate.wait_queued(4)
        gate.open()
        assert others.statuses() == [201] * 3
    with Api(gateway, token) as api:
        again = api.sell(shop.basket(bread), sale_key)
    assert again.status_code == 201 and again.headers["idempotency-replayed"] == "true"
    assert shop.stock(bread) == 6


def test_a_full_queue_refuses(gathering, shop, database):
    """D5: what finds no place is 503 with Retry-After at once; what has one is sold."""
    gateway = gathering(queue_max=5)
    bread, token = shop.product(stock=10), shop.token()
    with Gate(gateway, shop, database) as gate:
        queued = Sales(gateway, token, [(shop.basket(bread), key()) for _ in range(5)])
        gate.wait_queued(5)
        with Api(gateway, token) as api:
            for _ in range(3):
                answer = api.sell(shop.basket(bread))
                assert_problem(answer, 503, "overloaded")
                assert answer.headers["retry-after"] and answer.elapsed.total_seconds() < patient(0.2)
        gate.open()
        assert queued.statuses() == [201] * 5
    assert shop.stock(bread) == 5


def test_draining_waits_for_the_queue(gathering, shop, database):
    """P5: what is queued when the gateway is told to stop is sold and answered."""
    gateway = gathering()
    bread = shop.product(stock=10)
    with Gate(gateway, shop, database) as gate:
        selling = Sales(gateway, shop.token(), [(shop.basket(bread), key()) for _ in range(6)])
        gate.wait_queued(6)
        gateway.terminate()
        eventually(lambda: gateway.get_admin("/readyz").status_code == 503)
        gate.open()
        assert selling.statuses() == [201] * 6
    assert gateway.wait() == 0
    assert shop.stock(bread) == 4
