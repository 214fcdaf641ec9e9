# SPDX-License-Identifier: Apache-2.0
"""The conversation with PostgreSQL ends at every byte of a recorded request and answer.

`make test` cuts at a sample of the bytes, `make chaos` (TILLWAY_CHAOS=every) at each of them."""

import json
import os
import threading
import uuid

import pytest

from kit.clients import Connection
from kit.cutting import CLOSED, SILENT, Cut, CuttingProxy
from kit.invariants import Invariants
from kit.processes import SANITIZED, eventually

pytestmark = pytest.mark.heavy

EVERY = os.environ.get("TILLWAY_CHAOS") == "every"
LANES = 4 if EVERY else 2  # gateways side by side, each with one connection per lane of the engine


def positions(total, sample):
    """0 ... total, or so many of them: those at both ends, and some between."""
    if EVERY:
        return list(range(total + 1))
    sample = max(8, sample // (3 if SANITIZED else 1))
    ends = [0, 1, total - 6, total - 5, total - 1, total]  # ReadyForQuery has 6 bytes
    return sorted({*ends, *range(7, total, max(1, total // sample))})


class Lane:
    """A gateway of one worker behind a proxy of its own, a product, and every key it has sold under."""

    def __init__(self, start, shop, database, statement, **changes):
        self.proxy = CuttingProxy(database.url, statement)
        db = {"url": self.proxy.url, "max_connections": 3, "backoff_min": "10ms", "backoff_max": "10ms",
              "queue_timeout": "5s"}
        self.gateway = start(workers=1, db=db, cache={"size": 0}, **changes)
        self.token = shop.token(username=uuid.uuid4().hex)
        self.product = shop.product(stock=100000)
        self.register = "r-" + uuid.uuid4().hex[:8]
        self._body = json.dumps(shop.basket(self.product, registerId=self.register)).encode()
        self._client = Connection(self.gateway, self.token)
        self.keys, self.problems = set(), []
        self.invariants = Invariants(self.gateway, database, connections=3)

    def sell(self, key, client=None):
        """(status, code or transactionId, headers)"""
        self.keys.add(key)
        status, headers, text = (client or self._client).request("POST", "/v1/transactions", self._body,
                                                                 key)
        answer = json.loads(text)
        return status, answer.get("code") or answer.get("transactionId"), headers

    def truth(self, key):
        """What the key yields in the end, as a till would ask: (id, whether it had been sold before)."""
        def ask():
            status, sold, headers = self.sell(key)
            assert status in (201, 503, 504), (status, sold)
            return status == 201 and (sold, headers.get("Idempotency-Replayed") == "true")
        return eventually(ask, 20)

    def get(self, path):
        return self._client.request("GET", path)

    def close(self):
        self._client.close()
        self.invariants.hold()
        self.gateway.stop()


@pytest.fixture
def work_through(start, shop, database):
    """work_through(statement, step, todo): step(lane, i) for each of todo, shared by the lanes; then the
    invariants, and as many sales as keys."""
    lanes = []

    def run(statement, step, todo, **changes):
        lanes.extend(Lane(start, shop, database, statement, **changes) for _ in range(LANES))
        todo = list(todo(lanes[0]))
        lock = threading.Lock()

        def work(lane):
            while not any(other.problems for other in lanes):
                with lock:
                    if not todo:
                        return
                    i = todo.pop()
                try:
                    step(lane, i)
                except BaseException as e:  # judged below
                    lane.problems.append("at byte %r: %r" % (i, e))

        threads = [threading.Thread(target=work, args=(lane,)) for lane in lanes]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [problem for lane in lanes for problem in lane.problems] == []
        keys = sum(len(lane.keys) for lane in lanes)
        assert shop.sales() == keys
        for lane in lanes:
            assert shop.stock(lane.product) == 100000 - len(lane.keys)
            numbers = [row[0] for row in database.rows(
                "SELECT receipt_number FROM transactions WHERE store_id = %s AND register_id = %s"
                " ORDER BY 1", shop.store, lane.register)]
            assert numbers == list(range(1, len(lane.keys) + 1)), "receipts have no gaps"
            lane.close()

    yield run
    for lane in lanes:
        lane.proxy.close()


def recorded(lane):
    """Bytes of a sale's answer."""
    cut = lane.proxy.plan(Cut())
    assert lane.sell(str(uuid.uuid4()))[0] == 201
    return cut.total


def cut_a_sale(lane, n, end, status, tries=5):
    key, cut = str(uuid.uuid4()), lane.proxy.plan(Cut(answer=n, end=end))
    got, code, headers = lane.sell(key)
    was_cut = cut.total is not None
    if was_cut and cut.is_whole():
        assert got == 201, code
    else:  # the commit has not been heard of
        assert (got, code, headers["Retry-After"]) == (status, "outcome-unknown", "1")
    cut.silence_is_over.set()
    sold, was_sold = lane.truth(key)
    if not was_cut:  # PostgreSQL itself took longer than the deadline, and there was nothing to cut
        assert tries > 1
        return cut_a_sale(lane, n, end, status, tries - 1)
    assert was_sold and (got != 201 or sold == code)


def test_a_sale_is_cut_at_every_byte_of_its_answer(work_through):
    """D1: PostgreSQL has recorded it, N bytes of its answer arrive, the connection ends: 503
    outcome-unknown with Retry-After: 1 unless the last byte was there. The key tells the truth."""
    work_through("record_sales", lambda lane, n: cut_a_sale(lane, n, CLOSED, 503),
                 lambda lane: positions(recorded(lane), 30))


def test_a_sale_meets_silence_at_every_byte_of_its_answer(work_through):
    """D1: the same, and the connection stays open: the answer comes by the deadline."""
    work_through("record_sales", lambda lane, n: cut_a_sale(lane, n, SILENT, 503),
                 lambda lane: positions(recorded(lane), 8), http={"deadline": "750ms"})


def test_a_sale_is_cut_at_every_byte_of_its_request(work_through):
    """D1: PostgreSQL has got the half of it: whether it is sold is not known to anybody, and 503
    outcome-unknown. The key sells it, or tells of it."""
    def step(lane, n):
        key, cut = str(uuid.uuid4()), lane.proxy.plan(Cut(request=n))
        got, code, _ = lane.sell(key)
        assert (got, code) == (503, "outcome-unknown")
        _, was_sold = lane.truth(key)
        assert not was_sold or n == cut.total, "half a request sells nothing"

    def todo(lane):
        cut = lane.proxy.plan(Cut(request=0))
        assert lane.sell(key := str(uuid.uuid4()))[0] == 503
        lane.truth(key)
        return positions(cut.total, 20)

    work_through("record_sales", step, todo)


def test_a_read_is_cut_at_every_byte_of_its_answer(work_through):
    """D1: it is sent again on another connection, and its client gets the same bytes as ever."""
    wanted = {}

    def read(lane):
        if lane not in wanted:
            sold = lane.truth(str(uuid.uuid4()))[0]
            wanted[lane] = ("/v1/transactions/" + sold, lane.get("/v1/transactions/" + sold)[2])
        path, text = wanted[lane]
        status, _, got = lane.get(path)
        assert (status, got) == (200, text)

    def step(lane, n):
        cut = lane.proxy.plan(Cut(answer=n))
        read(lane)
        assert cut.done.wait(30)  # its thread may be behind the answer

    def todo(lane):
        read(lane)
        cut = lane.proxy.plan(Cut())
        read(lane)
        return positions(cut.total, 30)

    work_through("transaction_get", step, todo)


BATCH = 3


def sell_batch(lane, n):
    """BATCH sales that wait while another one is held up, and so share a call; its answer is cut."""
    first = lane.proxy.plan(Cut().held())
    cut = lane.proxy.plan(Cut(answer=n))
    keys = [str(uuid.uuid4()) for _ in range(BATCH + 1)]
    clients = [Connection(lane.gateway, lane.token) for _ in keys]
    answers = [None] * len(keys)

    def sell(i):
        answers[i] = lane.sell(keys[i], clients[i])

    threads = [threading.Thread(target=sell, args=(i,)) for i in range(len(keys))]
    threads[0].start()
    first.arrived.wait(10)
    for thread in threads[1:]:
        thread.start()
    eventually(lambda: lane.gateway.metrics()['tillway_db_queue_length{lane="write"}'] == BATCH,
               every_s=0.005)
    first.let_through.set()
    for thread in threads:
        thread.join()
    for client in clients:
        client.close()
    assert answers[0][0] == 201
    return cut, list(zip(keys, answers))[1:]


def test_a_batch_is_cut_at_every_byte_of_its_answer(work_through):
    """D1: all of a batch share its fate, and each key of it tells the truth."""
    def step(lane, n):
        cut, sales = sell_batch(lane, n)
        for key, (status, code, _) in sales:
            assert status == 201 if cut.is_whole() else (status, code) == (503, "outcome-unknown")
        sold = [lane.truth(key) for key, _ in sales]
        assert all(was_sold for _, was_sold in sold) and len(set(sold)) == BATCH

    work_through("record_sales", step, lambda lane: positions(sell_batch(lane, None)[0].total, 12))
