# SPDX-License-Identifier: Apache-2.0
"""Look-ups of one moment share a call, and nothing else (docs/adr/013-gathered-reads.md)."""

import threading
import uuid

import pytest

from kit.clients import Api, assert_problem
from kit.processes import eventually
from kit.shop import Shop

BATCHES, BATCHED = "tillway_db_batches_total", "tillway_db_batched_queries_total"
QUEUED = 'tillway_db_queue_length{lane="fast"}'
CALLS = 'tillway_db_statement_duration_seconds_count{statement="%s"}'


@pytest.fixture
def looking_up(start, own_database):
    """looking_up(...): start of a gateway with one worker whose reads can be held up."""

    def one(fast_timeout="30s"):
        gateway = start(workers=1, http={"deadline": "20s"}, cache={"size": 0},
                        db={"url": own_database.url, "fast_timeout": fast_timeout, "queue_timeout": "10s",
                            "max_connections": 6})
        gateway.wait_connected()
        return gateway

    return one


@pytest.fixture
def till(issuer, own_database):
    return Shop(own_database, issuer)


class Gets:
    """GETs of these paths at the same time, each by a client of its own; `answers` in their order."""

    def __init__(self, gateway, token, paths):
        self.answers = [None] * len(paths)
        self._threads = [threading.Thread(target=self._get, args=(gateway, token, i, path))
                         for i, path in enumerate(paths)]
        for thread in self._threads:
            thread.start()

    def _get(self, gateway, token, i, path):
        with Api(gateway, token) as api:
            self.answers[i] = api.get(path)

    def join(self):
        for thread in self._threads:
            thread.join(30)
        assert None not in self.answers, "a client hangs"
        return self.answers


def locked(database):
    """Nobody reads products until it is closed."""
    connection = database.connect(autocommit=False)
    with connection.cursor() as cursor:
        cursor.execute("LOCK TABLE products IN ACCESS EXCLUSIVE MODE")
    return connection


def get_gathered(gateway, shop, database, first, paths):
    """Answers of `paths`, which were queued while both connections were held up by `first`; metrics before
    that and after it."""
    token = shop.token()
    lock = locked(database)
    try:
        before = gateway.metrics()
        held = []
        for n in (1, 2):
            held.append(Gets(gateway, token, [first]))
            eventually(lambda: gateway.metrics()[BATCHES] == before[BATCHES] + n, what="%d are held up" % n)
        queued = Gets(gateway, token, paths)
        eventually(lambda: gateway.metrics()[QUEUED] == len(paths), what="the others are queued")
    finally:
        lock.close()
    assert [gets.join()[0].status_code for gets in held] == [200, 200]
    return queued.join(), before, gateway.metrics()


def test_each_reader_gets_his_own(looking_up, till, own_database):
    """Found, unknown and deleted products in one call; the same one twice."""
    gateway = looking_up()
    products = [till.product(name="Number %d" % i) for i in range(20)]
    own_database.rows("UPDATE products SET deleted_at = now() WHERE product_id = %s", uuid.UUID(products[3]))
    wanted = products + [str(uuid.uuid4()), products[7]]
    answers, before, after = get_gathered(gateway, till, own_database, "/v1/products/" + products[0],
                                          ["/v1/products/" + product for product in wanted])
    for i, (product, answer) in enumerate(zip(wanted, answers)):
        if i in (3, 20):
            assert_problem(answer, 404, "not-found")
        else:
            assert (answer.status_code, answer.json()["productId"]) == (200, product)
            assert answer.json()["name"] == "Number %d" % products.index(product)
    assert (after[BATCHES] - before[BATCHES], after[BATCHED] - before[BATCHED]) == (3, 2 + len(wanted))
    assert after[CALLS % "product_get"] - before.get(CALLS % "product_get", 0) == 3


def test_codes_and_ids_do_not_share_a_call(looking_up, till, own_database):
    """Look-ups by code are gathered beside those by id, in whatever order they come."""
    gateway = looking_up()
    skus = ["sku-%d" % i for i in range(8)]
    products = [till.product() for _ in skus]
    for product, sku in zip(products, skus):
        own_database.rows("UPDATE products SET sku = %s WHERE product_id = %s", sku, uuid.UUID(product))
    paths, names = [], []
    for product, sku in zip(products, skus):
        paths += ["/v1/products/" + product, "/v1/products/lookup?code=" + sku]
        names += [product, product]
    paths.append("/v1/products/lookup?code=nobody-has-this")
    answers, before, after = get_gathered(gateway, till, own_database, "/v1/products/" + products[0], paths)
    assert [answer.json()["productId"] for answer in answers[:-1]] == names
    assert_problem(answers[-1], 404, "not-found")
    assert after[CALLS % "product_get"] - before.get(CALLS % "product_get", 0) == 3
    assert after[CALLS % "product_lookup"] - before.get(CALLS % "product_lookup", 0) == 1


def test_more_than_a_call_takes(looking_up, till, own_database):
    """64 in a call, the rest in the next one."""
    gateway = looking_up()
    product = till.product()
    answers, before, after = get_gathered(gateway, till, own_database, "/v1/products/" + product,
                                          ["/v1/products/" + product] * 100)
    assert {answer.status_code for answer in answers} == {200}
    assert after[BATCHES] - before[BATCHES] == 4


def test_who_is_late_is_late_together(looking_up, till, own_database):
    """A lock that outlasts the statement's time costs its batch one 504 each, and no second try alone."""
    gateway = looking_up(fast_timeout="300ms")
    product = till.product()
    lock = locked(own_database)
    before = gateway.metrics()
    answers = Gets(gateway, till.token(), ["/v1/products/" + product] * 12).join()
    lock.close()
    for answer in answers:
        assert_problem(answer, 504, "deadline-exceeded")
    after = gateway.metrics()
    assert after["tillway_db_retries_total"] == before["tillway_db_retries_total"]
    assert after["tillway_db_batch_splits_total"] == before["tillway_db_batch_splits_total"]
    with Api(gateway, till.token()) as api:
        assert api.get("/v1/products/" + product).status_code == 200


def test_an_idle_worker_sends_at_once(looking_up, till):
    """Nothing waits for company."""
    gateway = looking_up()
    product = till.product()
    with Api(gateway, till.token()) as api:
        before = gateway.metrics()
        for _ in range(10):
            assert api.get("/v1/products/" + product).status_code == 200
        after = gateway.metrics()
    assert after[BATCHES] - before[BATCHES] == 10


def test_a_lost_connection_is_asked_again(looking_up, till, own_database):
    """Reads of a batch whose backend is killed are sent once more, and nobody notices."""
    gateway = looking_up()
    product = till.product()
    lock = locked(own_database)
    gets = Gets(gateway, till.token(), ["/v1/products/" + product] * 9)
    waiting = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    eventually(lambda: gateway.metrics()["tillway_requests_in_flight"] == 9 and len(own_database.rows(waiting)) == 2,
               what="all nine are there and both connections are held up")
    own_database.rows("SELECT pg_terminate_backend(pid) FROM (%s) w" % waiting)
    lock.close()
    assert [answer.status_code for answer in gets.join()] == [200] * 9


def test_a_table_that_was_small_is_not_read_as_a_whole(looking_up, till, own_database):
    """The statement was planned when there was one product; the catalogue comes afterwards."""
    product = till.product()
    own_database.rows("VACUUM ANALYZE products")
    gateway = looking_up()
    with Api(gateway, till.token()) as api:
        for _ in range(20):  # a plan for all times is made
            assert api.get("/v1/products/" + product).status_code == 200
        own_database.rows("""
            INSERT INTO products (product_id, name, price_minor, tax_rate_micro)
            SELECT gen_random_uuid(), 'one of many', 1, 0 FROM generate_series(1, 2000)""")
        last = till.product()
        read = "SELECT seq_tup_read FROM pg_stat_user_tables WHERE relname = 'products'"
        own_database.rows("SELECT pg_stat_force_next_flush()")
        before = own_database.rows(read)[0][0]
        for _ in range(50):
            assert api.get("/v1/products/" + last).status_code == 200
    gateway.stop()  # its sessions end, and tell what they have done
    eventually(lambda: own_database.rows(
        "SELECT 1 FROM pg_stat_activity WHERE datname = current_database()"
        " AND application_name LIKE 'tillway worker%'") == [])
    assert own_database.rows(read)[0][0] - before < 2000
