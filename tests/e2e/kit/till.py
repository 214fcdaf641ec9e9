# SPDX-License-Identifier: Apache-2.0
"""Tills and readers under faults: they do what a till would, and remember what they were told."""

import json
import threading
import time
import uuid

from kit.clients import LOST, Connection
from kit.processes import eventually

NOT_NOW = (503, 504)
PATIENCE_S = 0.05  # instead of the second that Retry-After asks for


class Till(threading.Thread):
    """Sells one basket after the other until told to stop. Each sale is repeated under its key until
    it has an answer that is not 503 or 504; `acknowledged` are the ids it was told."""

    def __init__(self, gateway, token, body, pace_s=0):
        """pace_s: a pause before each sale."""
        super().__init__(daemon=True)
        self._connection = Connection(gateway, token)
        self.body = body
        self._pace_s = pace_s
        self.stopping = threading.Event()
        self.acknowledged, self.wrong, self.unavailable, self.lost = [], [], 0, 0
        self.slowest_s = 0

    def run(self):
        while not self.stopping.is_set():
            self._sell(str(uuid.uuid4()))
            self.stopping.wait(self._pace_s)
        self._connection.close()

    def _sell(self, key):
        while True:
            began = time.monotonic()
            try:
                status, headers, text = self._connection.request("POST", "/v1/transactions",
                                                                 self.body, key)
            except LOST:
                self.lost += 1
                self.stopping.wait(0.01)
                continue
            finally:
                self.slowest_s = max(self.slowest_s, time.monotonic() - began)
            if status == 201:
                self.acknowledged.append(json.loads(text)["transactionId"])
                return
            if status not in NOT_NOW or (status == 503 and "Retry-After" not in headers):
                self.wrong.append((status, text))
                return
            self.unavailable += 1
            self.stopping.wait(PATIENCE_S)

    # ---- many of them -----------------------------------------------------------------------------

    @staticmethod
    def sold(tills):
        return sum(len(till.acknowledged) for till in tills)

    @staticmethod
    def wait_for_more(tills, n, within_s=60):
        before = Till.sold(tills)
        eventually(lambda: Till.sold(tills) > before + n, within_s,
                   what="%d more sales are acknowledged" % n)

    @staticmethod
    def stop_all(threads):
        for thread in threads:
            thread.stopping.set()
        for thread in threads:
            thread.join(60)
        assert not any(thread.is_alive() for thread in threads), "a client hangs"

    @staticmethod
    def judge(tills, shop, database, product, stock, may_lose=False):
        """Tills that have stopped: exactly what was acknowledged is recorded, once under each key, and
        has left the stock; no till was told anything wrong. may_lose: worker processes were killed."""
        assert [wrong for till in tills for wrong in till.wrong] == []
        assert may_lose or sum(till.lost for till in tills) == 0, "a client's connection was lost"
        acknowledged = [sale for till in tills for sale in till.acknowledged]
        recorded = {str(row[0]) for row in database.rows(
            "SELECT transaction_id FROM transactions WHERE store_id = %s", shop.store)}
        assert len(set(acknowledged)) == len(acknowledged), "two keys share a sale"
        assert set(acknowledged) == recorded, "lost: %s; never acknowledged: %s" % (
            set(acknowledged) - recorded, recorded - set(acknowledged))
        assert shop.stock(product) == stock - len(acknowledged)
        keys = database.value("SELECT count(*) FROM idempotency_keys k JOIN transactions t"
                              " USING (transaction_id) WHERE store_id = %s", shop.store)
        assert keys == len(recorded)


class Reader(threading.Thread):
    """Reads one product: 200 with the right bytes, or 503. `took_s` is each answer's time. may_be_late:
    504 is no wrong answer either."""

    def __init__(self, gateway, token, product_id, pace_s=0, may_be_late=False):
        super().__init__(daemon=True)
        self._pace_s = pace_s
        self._connection = Connection(gateway, token)
        self._path = "/v1/products/" + product_id
        self._not_now = NOT_NOW if may_be_late else (503,)
        self.stopping = threading.Event()
        self.wanted = self._connection.request("GET", self._path)[2]
        self.read, self.unavailable, self.lost, self.wrong = 0, 0, 0, []
        self.slowest_s, self.took_s = 0, []

    def run(self):
        while not self.stopping.is_set():
            self.stopping.wait(self._pace_s)
            began = time.monotonic()
            try:
                status, _, text = self._connection.request("GET", self._path)
            except LOST:
                self.lost += 1
                self.stopping.wait(0.01)
                continue
            took_s = time.monotonic() - began
            self.slowest_s = max(self.slowest_s, took_s)
            self.took_s.append(took_s)
            if status == 200 and text == self.wanted:
                self.read += 1
            elif status in self._not_now:
                self.unavailable += 1
                self.stopping.wait(0.02)
            else:
                self.wrong.append((status, text))
        self._connection.close()
