# SPDX-License-Identifier: Apache-2.0
"""A year's worth of trouble in SOAK_SECONDS (600): `make soak`. Not part of `make test`.

Tills sell and read through a gateway of two workers, whose primary and standby are restarted, fail over
and come back, while backends and workers are killed, tables change under its statements, rows are
locked, other configurations come into force and other masters take over. SOAK_SEED repeats an order of events, SOAK_ONLY
names the kinds of them (WEIGHTS, by commas)."""

import collections
import json
import os
import random
import signal
import time
import uuid

import pytest

from kit.invariants import MEMORY_FLOOR_KIB, Invariants
from kit.processes import eventually, patient, resident_kib
from kit.shop import Shop
from kit.till import Reader, Till

SECONDS = float(os.environ.get("SOAK_SECONDS", "600"))
SEED = int(os.environ.get("SOAK_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 31)
REGISTERS, PRODUCTS, TILLS, READERS = 4, 6, 8, 3
STOCK = 10_000_000
PACE_S = 0.005  # between two sales of a till: the machine has other work
# Nobody waits past http.deadline (2 s); what is added is for a machine that starts servers meanwhile.
NOBODY_WAITS_S = 3
WEIGHTS = {"restart": 2, "failover": 2, "stop_for_a_while": 1, "kill_backends": 4, "kill_worker": 1,
           "change_table": 3, "lock_rows": 3, "reload": 2, "upgrade": 1}
ONLY = os.environ.get("SOAK_ONLY", ",".join(WEIGHTS)).split(",")
WARM_S = 15  # a worker's memory is looked at from this age on


class Trouble:
    """One method for each kind; each returns when its fault has ended."""

    def __init__(self, pair, database, gateway, shop, chance, clients):
        self._pair, self.database, self._gateway, self._shop = pair, database, gateway, shop
        self._chance, self._clients = chance, clients
        self.done = collections.Counter()

    def happen(self):
        kinds = [name for name in WEIGHTS if name in ONLY]
        kind = self._chance.choices(kinds, [WEIGHTS[name] for name in kinds])[0]
        self.done[kind] += 1
        lost = self._lost()
        getattr(self, kind)()
        assert kind == "kill_worker" or self._lost() == lost, "%s cost a client its connection" % kind

    def _lost(self):
        return sum(client.lost for client in self._clients)

    def restart(self):
        self._pair.primary.restart_immediate()

    def failover(self):
        """The primary is gone; the standby takes over; the old one comes back as the new standby."""
        self._pair.primary.stop_immediate()
        self._pair.promote()
        self.database.move_to(self._pair)
        sold = self._sold()
        try:
            eventually(lambda: self._sold() > sold and self._gateway.is_ready(), patient(5))
        except AssertionError:
            metrics = self._gateway.metrics()
            raise AssertionError("the new primary sells nothing: %s, %s" % (
                self._gateway.unready_reasons(), {k: metrics[k] for k in metrics if "_db_" in k}))
        self._pair.heal()
        self._pair.synchronous(True)

    def _sold(self):
        return Till.sold([client for client in self._clients if isinstance(client, Till)])

    def stop_for_a_while(self):
        self._pair.primary.stop()
        time.sleep(self._chance.uniform(0.5, 2.5))  # the fault's length
        self._pair.primary.start()

    def kill_backends(self):
        self.database.rows("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name"
                           " LIKE 'tillway worker %%' AND random() < %s", self._chance.random())

    def kill_worker(self):
        index, pid = self._chance.choice(sorted(self._gateway.workers().items()))
        os.kill(pid, self._chance.choice([signal.SIGKILL, signal.SIGSEGV]))
        eventually(lambda: self._gateway.workers().get(index, pid) != pid, 5, what="a new worker")

    def change_table(self):
        kind = self._chance.choice(["text", "varchar(200)"])
        self.database.rows("ALTER TABLE products ALTER COLUMN category TYPE " + kind)

    def lock_rows(self):
        lock = self.database.connect(autocommit=False)
        with lock.cursor() as cursor:
            cursor.execute("SELECT 1 FROM inventory WHERE store_id = %s ORDER BY product_id LIMIT %s"
                           " FOR UPDATE", (self._shop.store, self._chance.randrange(1, 4)))
            time.sleep(self._chance.uniform(0.05, 2.5))  # the fault's length
        lock.close()

    def reload(self):
        self._gateway.reload(http={"idle_timeout": "%ds" % self._chance.randrange(60, 600)})

    def upgrade(self):
        self._gateway.upgrade()


def memory_of(gateway, ages):
    """{pid: KiB when it was warm}; workers that have gone are forgotten."""
    now, pids = time.monotonic(), set(gateway.workers().values()) | {gateway.pid}
    for pid in list(ages):
        if pid not in pids:
            del ages[pid]
    for pid in pids:
        born, kib = ages.get(pid, (now, None))
        if kib is None and now - born > WARM_S:
            kib = resident_kib(pid)
        ages[pid] = (born, kib)


@pytest.fixture
def pair_database(postgres_pair):
    name = "soak_%d" % os.getpid()
    database = postgres_pair.create(name)
    postgres_pair.synchronous(True)

    def move_to(pair):
        database.close()
        database.url = pair.primary.url(name)

    database.move_to = move_to
    yield name, database
    database.close()


def test_a_year_in_minutes(start, issuer, postgres_pair, pair_database):
    """Issue 6, Show 5: at the end there are as many sales as acknowledged keys, the stock has moved by
    what was sold, receipts have no gaps, and the gateway is as it was."""
    name, database = pair_database
    chance = random.Random(SEED)
    print("\nsoak: %g s, SOAK_SEED=%d" % (SECONDS, SEED), flush=True)
    shop = Shop(database, issuer)
    gateway = start(db={"url": postgres_pair.url(name, "target_session_attrs=read-write"),
                        "backoff_max": "500ms", "queue_target": "50ms"}, http={"max_connections_per_peer": 0})
    gateway.expect_stderr = "."  # a worker that is sent SIGSEGV may say so
    invariants = Invariants(gateway, database)
    products = [shop.product(price_minor=100 + i, stock=STOCK) for i in range(PRODUCTS)]
    token = shop.token()
    quiet = shop.product()  # nobody locks or sells it: its bytes stay as they are
    tills = [Till(gateway, token, basket(chance, products, i % REGISTERS), pace_s=PACE_S)
             for i in range(TILLS)]
    readers = [Reader(gateway, token, quiet, pace_s=PACE_S, may_be_late=True) for _ in range(READERS)]
    trouble = Trouble(postgres_pair, database, gateway, shop, chance, [*tills, *readers])
    for thread in [*tills, *readers]:
        thread.start()
    ages, began, stalled = {}, time.monotonic(), 0.0
    try:
        while time.monotonic() - began < SECONDS:
            sold, at = Till.sold(tills), time.monotonic()
            trouble.happen()
            eventually(lambda: Till.sold(tills) > sold + 20, 30, what="selling goes on (SOAK_SEED=%d: %s)" % (
                SEED, dict(trouble.done)))
            stalled = max(stalled, time.monotonic() - at)
            memory_of(gateway, ages)
            time.sleep(chance.uniform(0.1, 2))  # quiet between two faults
    finally:
        Till.stop_all([*tills, *readers])
    took = time.monotonic() - began
    memory_of(gateway, ages)
    invariants.remember()
    invariants.hold()
    report(tills, readers, trouble, gateway, ages, took, stalled)
    judge(tills, readers, shop, database, products)
    assert all(growth < MEMORY_FLOOR_KIB for growth in grown_kib(ages)), "memory grows"
    assert max(thread.slowest_s for thread in [*tills, *readers]) < NOBODY_WAITS_S


def basket(chance, products, register):
    """Three lines; each till always sells the same."""
    lines = [{"productId": product, "quantity": 1 + i}
             for i, product in enumerate(chance.sample(products, 3))]
    return json.dumps({"items": lines, "paymentMethod": "card", "registerId": "r%d" % register}).encode()


def judge(tills, readers, shop, database, products):
    assert [wrong for thread in [*tills, *readers] for wrong in thread.wrong] == []
    acknowledged = {sale for till in tills for sale in till.acknowledged}
    assert len(acknowledged) == Till.sold(tills), "two keys share a sale"
    recorded = {str(row[0]) for row in database.rows(
        "SELECT transaction_id FROM transactions WHERE store_id = %s", shop.store)}
    assert acknowledged == recorded, "lost: %d; never acknowledged: %d" % (
        len(acknowledged - recorded), len(recorded - acknowledged))
    for product in products:
        sold = sum(line["quantity"] * len(till.acknowledged) for till in tills
                   for line in json.loads(till.body)["items"] if line["productId"] == product)
        assert shop.stock(product) == STOCK - sold
        moved = database.value("SELECT coalesce(sum(quantity_milli), 0) FROM inventory_movements WHERE"
                               " store_id = %s AND product_id = %s AND kind = 'sale'", shop.store,
                               uuid.UUID(product))
        assert -moved == sold * 1000
    for register, n, distinct, last in database.rows(
            "SELECT register_id, count(*), count(DISTINCT receipt_number), max(receipt_number)"
            " FROM transactions WHERE store_id = %s GROUP BY 1", shop.store):
        assert n == distinct == last, "receipts of %s have gaps" % register


def grown_kib(ages):
    """Of each process since it was warm."""
    return [resident_kib(pid) - kib for pid, (born, kib) in ages.items()
            if kib and time.monotonic() - born > WARM_S]


def report(tills, readers, trouble, gateway, ages, took, stalled):
    metrics = gateway.metrics()
    print("soak: %d s, %s; %d sales acknowledged (%d/s); %d times 503 or 504, %d lost with a"
          " worker; %d reads, %d refused; slowest sale %.2f s, read %.2f s; longest fault with its end"
          " %.1f s; %d connection losses, %d retries since the last worker began; memory grew by %s KiB" % (
              took, ", ".join("%d %s" % (n, kind) for kind, n in sorted(trouble.done.items())),
              Till.sold(tills), Till.sold(tills) / took, sum(t.unavailable for t in tills),
              sum(t.lost for t in tills), sum(r.read for r in readers),
              sum(r.unavailable for r in readers), max(t.slowest_s for t in tills),
              max(r.slowest_s for r in readers), stalled,
              metrics["tillway_db_connection_losses_total"], metrics["tillway_db_retries_total"],
              grown_kib(ages)),
          flush=True)
