# SPDX-License-Identifier: Apache-2.0
"""The database is slow, locked, read-only, restarted or not there at all."""

import json
import os
import socket
import threading
import time
import urllib.parse
import uuid

import httpx
import pytest

from kit.clients import Api, Connection, assert_problem, at_once
from kit.invariants import Invariants, is_connected
from kit.processes import SANITIZED, cpu_percent, eventually, patient, scaled
from kit.proxy import Proxy
from kit.shop import Shop
from kit.till import Reader, Till
from test_sales import lock_stock

pytestmark = pytest.mark.heavy

NOBODY_WAITS_S = 2.5  # http.deadline and half a second


# ---- restart --------------------------------------------------------------------------------------


def test_postgresql_restarts_under_load(start, shop, postgres, database):
    """D1 and Show 3: pg_ctl restart -m immediate, twice. /readyz turns 503 and then 200 by itself; no
    acknowledged sale is lost or doubled; a read is right or 503; nobody waits past the deadline."""
    gateway = start()
    invariants = Invariants(gateway, database)
    bread, token = shop.product(stock=100000), shop.token()
    body = json.dumps(shop.basket(bread)).encode()
    tills = [Till(gateway, token, body) for _ in range(6)]
    readers = [Reader(gateway, token, bread) for _ in range(3)]
    threads = [*tills, *readers]
    for thread in threads:
        thread.start()
    try:
        for _ in range(2):
            Till.wait_for_more(tills, scaled(200))
            unready = len(gateway.events("unready"))
            was_down = threading.Event()
            watch = threading.Thread(target=watch_readyz, args=(gateway, was_down))
            watch.start()
            postgres.restart_immediate()
            watch.join(30)
            eventually(gateway.is_ready, patient(5), what="/readyz is 200 within 5 s of the fault's end")
            assert was_down.is_set(), "/readyz has been 503 (%d)" % unready
        Till.wait_for_more(tills, scaled(100))
    finally:
        Till.stop_all(threads)
    invariants.hold()
    assert [wrong for reader in readers for wrong in reader.wrong] == []
    Till.judge(tills, shop, database, bread, 100000)
    slowest = max(thread.slowest_s for thread in threads)
    assert slowest < patient(NOBODY_WAITS_S), "%.2f s" % slowest


def watch_readyz(gateway, was_down):
    """Sets was_down at the first 503, and returns at the 200 behind it or after 20 s."""
    with httpx.Client(base_url="http://127.0.0.1:%d" % gateway.admin, trust_env=False) as client:
        end = time.monotonic() + 20
        while time.monotonic() < end:
            status = client.get("/readyz").status_code
            if status == 503:
                was_down.set()
            elif was_down.is_set():
                return
            time.sleep(0.005)  # the poll's pace


def test_backends_that_are_terminated_are_replaced(start, shop, database):
    """D1: 57P01 is a lost connection: reads are sent once more, unseen by their clients."""
    gateway = start(cache={"size": 0})  # each read asks the database
    product = shop.product()
    with Api(gateway, shop.token()) as api:
        for _ in range(5):
            gateway.wait_connected()
            assert database.rows("SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                                 " WHERE datname = current_database()"
                                 " AND application_name LIKE 'tillway worker %%fast'")
            assert api.get("/v1/products/" + product).status_code == 200
    eventually(lambda: gateway.metrics()["tillway_db_connection_losses_total"] >= 5, what="they are counted")


def test_a_sale_whose_answer_was_lost_is_told_by_its_key(start, shop, database):
    """D1: 503 outcome-unknown with Retry-After; the same key then yields the one sale."""
    proxy, url = Proxy.before(database.url)
    proxy.open()
    with proxy:
        gateway = start(workers=1, db={"url": url})
        bread, key = shop.product(stock=9), str(uuid.uuid4())
        body = shop.basket(bread)
        with Api(gateway, shop.token()) as api:
            lock = lock_stock(database, shop)
            outcome = []
            thread = threading.Thread(target=lambda: outcome.append(api.sell(body, key)))
            thread.start()
            eventually(lambda: database.value("SELECT count(*) FROM pg_locks WHERE NOT granted") > 0)
            proxy.silent.set()  # the sale is with PostgreSQL; its answer will not come through
            lock.rollback()
            lock.close()
            eventually(lambda: shop.sales() == 1, what="PostgreSQL has recorded it")
            thread.join(30)
            assert_problem(outcome[0], 503, "outcome-unknown")
            assert outcome[0].headers["retry-after"] == "1"
            assert outcome[0].elapsed.total_seconds() < patient(NOBODY_WAITS_S)
            proxy.silent.clear()
            again = eventually(lambda: (a := api.sell(body, key)).status_code == 201 and a)
        assert again.headers["idempotency-replayed"] == "true"
        assert shop.sales() == 1 and shop.stock(bread) == 8
        gateway.stop()


# ---- absent ---------------------------------------------------------------------------------------


def test_the_database_is_absent_at_the_start(start, shop, database):
    """D6: it starts, lives, is not ready, answers 503 at once, and heals when the database comes."""
    proxy, url = Proxy.before(database.url)
    with proxy:
        gateway = start(until="live", db={"url": url})
        eventually(lambda: gateway.unready_reasons() == ["database"], what="only the database is missing")
        assert gateway.get_admin("/livez").status_code == 200
        product, token = shop.product(), shop.token()
        with Api(gateway, token) as api:
            assert api.get("/v1/me").status_code == 200
            for ask in (lambda: api.get("/v1/products/" + product), lambda: api.sell(shop.basket(product)),
                        lambda: api.get("/v1/products")):
                answer = ask()
                assert_problem(answer, 503, "database-unavailable")
                assert answer.headers["retry-after"] and answer.elapsed.total_seconds() < patient(1.5)
            proxy.open()
            eventually(gateway.is_ready, patient(6), what="/readyz is 200 by itself, within the longest backoff")
            eventually(lambda: api.get("/v1/products/" + product).status_code == 200)
        lost = [e["message"] for e in gateway.events("db_connection_lost")]
        assert lost and "refused" in lost[0]
        gateway.stop()


@pytest.fixture
def silent_name_server(work):
    """A command that runs another one where no name server answers."""
    if os.geteuid() != 0:
        pytest.skip("a mount namespace and port 53 need root")
    address = "127.0.0.10" if SANITIZED else "127.0.0.9"  # both suites may be here at the same time
    config = os.path.join(work, "resolv.conf")
    with open(config, "w", encoding="utf-8") as f:
        f.write("nameserver %s\noptions timeout:5 attempts:2\n" % address)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind((address, 53))
        yield ["unshare", "--mount", "sh", "-c",
               'mount --bind "$0" /etc/resolv.conf && exec "$@"', config]


def test_a_silent_name_server_blocks_nobody(start, shop, silent_name_server):
    """D6: the database's host name is looked up, nobody answers, and the workers go on turning: for
    longer than the master's watchdog waits, every request that needs no database is answered."""
    gateway = start(until="live", workers=1, prefix=silent_name_server,
                    db={"url": "postgresql://till:hidden@db.example/till"})
    eventually(lambda: gateway.unready_reasons() == ["database"], what="only the database is missing")
    pids = eventually(gateway.workers, what="the log tells of the worker")
    with Api(gateway, shop.token()) as api:
        watched_until = time.monotonic() + 7
        while time.monotonic() < watched_until:
            answer = api.get("/v1/me")
            assert answer.status_code == 200 and answer.elapsed.total_seconds() < patient(1)
    assert gateway.workers() == pids and not gateway.events("worker_stuck")
    gateway.stop()


class Unwilling(threading.Thread):
    """A server that closes every connection after its startup packet: {application name: [times]}."""

    def __init__(self):
        super().__init__(daemon=True)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.tries = {}

    def run(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            words = client.recv(4096)[8:].decode().split("\0")
            name = dict(zip(words[::2], words[1::2]))["application_name"]
            self.tries.setdefault(name, []).append(time.monotonic())
            client.close()

    def stop(self):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.join(10)


def test_the_backoff_grows_and_jitters(start):
    """D6: 100 ms to 5 s, doubling, never in step; one connection of a lane tries, and the log says a
    cause once and then counts."""
    server = Unwilling()
    server.start()
    gateway = start(until="live", workers=1, db={
        "url": "postgresql://x@127.0.0.1:%d/x?sslmode=disable&gssencmode=disable" % server.port})
    eventually(lambda: len(server.tries.get("tillway worker 0 fast", [])) >= 7)
    gateway.stop()
    server.stop()
    assert set(server.tries) == {"tillway worker 0 " + one
                                 for one in ("fast", "write", "slow", "listen")}
    assert len(gateway.events("catalogue_unheard")) == 1  # db_listen.c backs off by itself
    tries = server.tries["tillway worker 0 fast"]
    pauses = [later - sooner for sooner, later in zip(tries, tries[1:])]
    assert all(pause <= patient(5.2) for pause in pauses), pauses
    # Each is half of its step at least. Taken together, as this thread may see a try late.
    assert tries[6] - tries[0] > 0.5 * (0.1 + 0.2 + 0.4 + 0.8 + 1.6 + 3.2) - 0.5, pauses
    assert pauses[-1] > 4 * pauses[0] and len({round(pause, 3) for pause in pauses}) > 4, pauses
    assert len(gateway.events("db_connection_lost")) <= 6


def test_an_address_that_refuses_is_passed_by(start, database):
    """D6: libpq goes on to the next one within the same try, by a socket of the same number. Who watched the
    one that refused would find it readable for ever, and spin."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and does not listen
        parts = urllib.parse.urlsplit(database.url)
        hosts = "127.0.0.1:%d,127.0.0.1:%d" % (nobody.getsockname()[1], parts.port)
        url = parts._replace(netloc="%s@%s" % (parts.netloc.rpartition("@")[0], hosts)).geturl()
        gateway = start(workers=1, db={"url": url})
        eventually(lambda: is_connected(gateway), patient(5), what="all its database connections")
        eventually(lambda: cpu_percent(gateway.workers()[0]) < 10, what="it does not spin")
        gateway.stop()
    assert gateway.events("db_connection_lost") == [] and gateway.events("catalogue_unheard") == []


@pytest.mark.parametrize("spoil", ["password", "name", "database"])
def test_the_password_is_in_no_log(start, database, spoil):
    """D6: whatever is wrong with the URL."""
    parts = urllib.parse.urlsplit(database.url)
    secret = "hidden-word-" + uuid.uuid4().hex
    host = "no-such-host.invalid" if spoil == "name" else parts.hostname
    name = "/no_such_database" if spoil == "database" else parts.path
    password = parts.password if spoil == "database" else secret
    url = parts._replace(netloc="%s:%s@%s:%d" % (parts.username, password, host, parts.port),
                         path=name).geturl()
    gateway = start(until="live", db={"url": url})
    eventually(lambda: gateway.events("db_connection_lost"), what="it says so")
    assert gateway.get_admin("/livez").status_code == 200 and not gateway.is_ready()
    gateway.stop()
    assert password not in gateway.log_text() + gateway.stderr()


# ---- slow -----------------------------------------------------------------------------------------


def test_a_lock_costs_its_sale_a_deadline_and_nobody_else_anything(start, shop, database):
    """D3: 503 or 504 by the deadline; reads and other sales do not notice; the key tells the truth."""
    gateway = start()
    locked, free = shop.product(stock=5), shop.product()
    key, token, done = str(uuid.uuid4()), shop.token(), threading.Event()
    lock, outcome, slowest = lock_stock(database, shop), [], 0.0

    def sell():
        with Api(gateway, token) as api:
            began = time.monotonic()
            outcome.append((api.sell(shop.basket(locked, 1, registerId="stuck"), key),
                            time.monotonic() - began))
        done.set()

    thread = threading.Thread(target=sell)
    thread.start()
    eventually(lambda: database.value("SELECT count(*) FROM pg_locks WHERE NOT granted") > 0)
    with Api(gateway, token) as api:
        while not done.is_set():
            began = time.monotonic()
            assert api.get("/v1/products/" + locked).status_code == 200
            assert api.sell(shop.basket(free, registerId="free")).status_code == 201
            slowest = max(slowest, time.monotonic() - began)
        thread.join()
        answer, took = outcome[0]
        assert (answer.status_code, answer.json()["code"]) in (
            (503, "outcome-unknown"), (504, "deadline-exceeded"))
        assert took < 2.05 + patient(0.2), "%.3f s" % took
        assert slowest < min(patient(0.5), 1.8), "%.3f s" % slowest
        lock.rollback()
        lock.close()
        again = eventually(lambda: (a := api.sell(shop.basket(locked, 1, registerId="stuck"), key)
                                    ).status_code == 201 and a)
        assert api.sell(shop.basket(locked, 1, registerId="stuck"), key).content == again.content
    assert shop.stock(locked) == 4


def test_each_lane_keeps_its_own_deadline(start, shop, own_database):
    """D3: on a locked table a point read is 504 after db.fast_timeout (1 s), a list after
    http.deadline (2 s), and what needs no database is not delayed at all."""
    gateway = start(db={"url": own_database.url})
    own_database.rows("INSERT INTO products (product_id, name, price_minor) VALUES (%s, 'x', 1)",
                      product := uuid.uuid4())
    paths, token = {"/v1/products/%s" % product: 1.0, "/v1/products?limit=1": 2.0}, shop.token()
    gateway.wait_connected()
    lock = own_database.connect(autocommit=False)
    with lock.cursor() as cursor:
        cursor.execute("LOCK TABLE products IN ACCESS EXCLUSIVE MODE")

    def ask(i):
        if i == len(paths):
            with Api(gateway, token) as api:
                return max(api.get("/v1/me").elapsed.total_seconds() for _ in range(100))
        connection, began = Connection(gateway, token), time.monotonic()
        status = connection.request("GET", list(paths)[i])[0]
        connection.close()
        return status, time.monotonic() - began

    *reads, slowest_me = at_once(len(paths) + 1, ask)
    for (status, took), deadline in zip(reads, paths.values()):
        assert status == 504 and deadline - 0.01 < took < deadline + 0.9, took
    assert slowest_me < 0.9
    lock.rollback()
    lock.close()
    with Api(gateway, token) as api:
        assert {api.get(path).status_code for path in paths} == {200}
    assert gateway.is_ready()


def test_workers_that_need_more_connections_than_they_have_are_told_of(start):
    """`workers: auto` on a machine with more processors than the file's author had."""
    gateway = start(workers="auto", db={"max_connections": 3})
    line, = gateway.events("db_connections_exceed")
    assert "db.max_connections is 3" in line["message"] and "set `workers`" in line["message"]


def waiting_for_locks(database):
    return database.value("SELECT count(*) FROM pg_locks WHERE NOT granted AND database ="
                          " (SELECT oid FROM pg_database WHERE datname = current_database())")


def locked(database, table):
    lock = database.connect(autocommit=False)
    with lock.cursor() as cursor:
        cursor.execute("LOCK TABLE %s IN ACCESS EXCLUSIVE MODE" % table)
    return lock


def test_a_queue_has_its_own_time(start, own_database, issuer):
    """Who waits behind a query that may still run for long is told after db.queue_timeout."""
    gateway = start(workers=1, http={"deadline": "8s"},
                    db={"url": own_database.url, "max_connections": 3, "queue_timeout": "500ms",
                        "slow_timeout": "8s"})
    token = Shop(own_database, issuer).token("manager")
    gateway.wait_connected()
    lock, answers = locked(own_database, "transactions"), []

    def list_sales():
        with Api(gateway, token) as api:
            answers.append(api.get("/v1/transactions"))

    thread = threading.Thread(target=list_sales)
    thread.start()
    eventually(lambda: waiting_for_locks(own_database) == 1)
    with Api(gateway, token) as api:
        answer = api.get("/v1/products?limit=1")
        assert_problem(answer, 503, "overloaded")
        assert 0.49 < answer.elapsed.total_seconds() < patient(1)
    lock.rollback()
    lock.close()
    thread.join(30)
    assert answers[0].status_code == 200


def test_a_stop_does_not_wait_for_what_nobody_waits_for_any_more(start, own_database, issuer):
    """P5: a read that was answered 504 and that PostgreSQL still has in hand. Nothing of it leaks."""
    gateway = start(workers=1, http={"deadline": "1s"}, shutdown={"drain_timeout": "60s"},
                    db={"url": own_database.url, "slow_timeout": "60s"})
    token = Shop(own_database, issuer).token("manager")
    gateway.wait_connected()
    lock = locked(own_database, "transactions")
    with Api(gateway, token) as api:
        assert_problem(api.get("/v1/transactions"), 504, "deadline-exceeded")
        assert waiting_for_locks(own_database) == 1
    gateway.stop()
    lock.rollback()
    lock.close()


def test_who_has_more_time_holds_nobody_beyond_his_own(start, own_database, issuer):
    """D3: behind the count of low stock, which has ten seconds, a list is 504 after its two."""
    gateway = start(workers=1, metrics={"low_stock_interval": "1s"},
                    db={"url": own_database.url, "max_connections": 12})
    token = Shop(own_database, issuer).token("manager")
    gateway.wait_connected()
    locks = [locked(own_database, "low_stock")]
    eventually(lambda: waiting_for_locks(own_database) == 1, what="the count waits")
    locks.append(locked(own_database, "transactions"))
    with Api(gateway, token) as api:
        answer = api.get("/v1/transactions")
        assert_problem(answer, 504, "deadline-exceeded")
        assert answer.elapsed.total_seconds() < 2 + patient(0.5)
    for lock in locks:
        lock.rollback()
        lock.close()


def test_a_silent_database_is_left(start, shop, database):
    """D3: no answer and no end of file: the deadline holds, the connection is given up, it heals."""
    proxy, url = Proxy.before(database.url)
    proxy.open()
    with proxy:
        gateway = start(workers=1, db={"url": url}, cache={"size": 0})
        product = shop.product()
        with Api(gateway, shop.token()) as api:
            assert api.get("/v1/products/" + product).status_code == 200
            proxy.silent.set()
            began = time.monotonic()
            answer = api.get("/v1/products/" + product)
            assert answer.status_code in (503, 504)
            assert time.monotonic() - began < patient(NOBODY_WAITS_S)
            eventually(lambda: gateway.events("db_connection_lost"), what="it gives the connection up")
            proxy.silent.clear()
            eventually(lambda: api.get("/v1/products/" + product).status_code == 200)
        gateway.stop()


# ---- read-only ------------------------------------------------------------------------------------


def test_a_read_only_server(start, shop, own_database):
    """D2: writes are 503 at once, reads go on; writes resume within 2 s of the end, with no reload."""
    gateway = start(db={"url": own_database.url})
    name = own_database.value("SELECT current_database()")
    own_database.rows("INSERT INTO products (product_id, name, price_minor) VALUES (%s, 'x', 1)",
                      product := uuid.uuid4())

    def turn(state):
        own_database.rows('ALTER DATABASE "%s" SET default_transaction_read_only = %s' % (name, state))

    def cut():
        own_database.rows("SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                          " WHERE application_name LIKE 'tillway worker %%' AND datname = %s", name)

    body = shop.basket(str(product))
    with Api(gateway, shop.token()) as api:
        assert api.sell(body).status_code == 201
        turn("on")
        cut()
        eventually(lambda: api.get("/v1/products/%s" % product).status_code == 200)
        eventually(gateway.is_ready)
        refused = [api.sell(body) for _ in range(5)]
        assert {a.status_code for a in refused} == {503}
        assert all(a.headers["retry-after"] for a in refused)
        assert api.get("/v1/products/%s" % product).status_code == 200
        turn("off")
        own_database.close()  # this session is read-only too
        eventually(lambda: api.sell(body).status_code == 201, patient(2), what="writes resume")


def test_a_changed_table_is_unseen(start, shop, own_database):
    """D7: 0A000 "cached plan must not change result type": prepared anew, retried, unseen."""
    gateway = start(workers=1, db={"url": own_database.url}, cache={"size": 0})
    own_database.rows("INSERT INTO products (product_id, name, price_minor, category)"
                      " VALUES (%s, 'x', 1, 'c')", product := uuid.uuid4())
    with Api(gateway, shop.token()) as api:
        for _ in range(10):
            assert api.get("/v1/products/%s" % product).status_code == 200
        own_database.rows("ALTER TABLE products ALTER COLUMN category TYPE varchar(64)")
        for _ in range(10):
            assert api.get("/v1/products/%s" % product).status_code == 200


def test_a_failing_statement_costs_its_neighbours_nothing(start, shop, own_database):
    """D4: reads that share a sync with one that PostgreSQL refuses are answered as ever, byte by byte."""
    gateway = start(workers=1, db={"url": own_database.url, "max_connections": 3},
                    cache={"size": 0})
    own_database.rows("INSERT INTO products (product_id, name, price_minor) VALUES (%s, 'good', 1)",
                      good := uuid.uuid4())
    own_database.rows("INSERT INTO products (product_id, name, price_minor) VALUES (%s, 'bad', 1)",
                      bad := uuid.uuid4())
    # A row whose reading fails: its category is computed by a function that raises.
    own_database.rows("""
        ALTER TABLE products RENAME TO products_table;
        CREATE FUNCTION explode(n text, c text) RETURNS text LANGUAGE plpgsql AS $$
            BEGIN IF n = 'bad' THEN RAISE 'exploded'; END IF; RETURN c; END $$;
        CREATE VIEW products AS SELECT product_id, name, price_minor, description,
            explode(name, category) AS category, image, sku, barcode, tax_rate_micro, created_at,
            updated_at, version, deleted_at FROM products_table""")
    own_database.rows("SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                      " WHERE application_name LIKE 'tillway worker %%'"
                      " AND datname = current_database()")
    connections = [Connection(gateway, shop.token()) for _ in range(12)]
    eventually(lambda: connections[0].request("GET", "/v1/products/%s" % good)[0] == 200)
    wanted = connections[0].request("GET", "/v1/products/%s" % good)[2]
    errors = gateway.metrics()["tillway_db_errors_total"]

    def read(i):
        path = "/v1/products/%s" % (bad if i % 2 == 0 else good)
        return [connections[i].request("GET", path)[::2] for _ in range(scaled(50))]

    answers = at_once(12, read)
    assert {a[0] for i, read in enumerate(answers) for a in read if i % 2 == 0} == {500}
    assert {a for i, read in enumerate(answers) for a in read if i % 2 != 0} == {(200, wanted)}
    assert gateway.metrics()["tillway_db_errors_total"] - errors == 6 * scaled(50)
    for connection in connections:
        connection.close()
