# SPDX-License-Identifier: Apache-2.0
"""Read replicas (db.replica, docs/adr/009): who may read there, and what becomes of reads when a server
goes; a real primary and a real standby."""

import json
import os
import signal

import pytest

from kit.clients import Api, Connection
from kit.processes import eventually, scaled
from kit.till import Reader, Till

pytestmark = pytest.mark.heavy


def replica_reads(gateway):
    return gateway.metrics()["tillway_db_replica_reads_total"]


def are_used(gateway, used):
    """By both workers: what each has said last."""
    said = {line["worker"]: line["event"] == "db_replica_used" for line in gateway.lines()
            if line.get("event") in ("db_replica_used", "db_replica_aside")}
    return said == {0: used, 1: used}


def test_reads_go_to_a_replica_that_has_what_its_reader_wrote(start, pair, pair_name, pair_shop):
    """Read-your-writes over both workers while replay stands still; who lags beyond the limit is left
    aside, who dies costs no read, and both come back by themselves; one log line each way."""
    product = pair_shop.product(stock=1000)
    pair.caught_up()
    gateway = start(db={"url": pair.primary.url(pair_name), "replica": pair.standby.url(pair_name),
                        "replica_max_lag": "2s"}, cache={"size": 0})
    eventually(lambda: are_used(gateway, True), what="the replica is used")
    writer = pair_shop.token(username="writer-" + pair_shop.store)
    stranger = pair_shop.token(username="stranger-" + pair_shop.store)
    path = "/v1/products/" + product
    readers = [Reader(gateway, stranger, product) for _ in range(2)]
    before = replica_reads(gateway)
    for reader in readers:
        reader.start()
    try:
        eventually(lambda: replica_reads(gateway) > before + 20)
        pair.pause_replay()
        pair.broken = True
        sales = []
        for _ in range(scaled(20)):
            with Api(gateway, writer) as api:  # each by a connection of its own: either worker's
                sale = api.sell(pair_shop.basket(product))
                assert sale.status_code == 201
                sales.append(sale.json()["transactionId"])
            for _ in range(4):
                with Api(gateway, writer) as api:
                    assert api.get("/v1/transactions/" + sales[-1]).status_code == 200
        eventually(lambda: are_used(gateway, False), what="a lagging replica is left aside")
        at = replica_reads(gateway)
        with Api(gateway, stranger) as api:
            assert all(api.get(path).status_code == 200 for _ in range(20))
        assert replica_reads(gateway) == at
        pair.resume_replay()
        eventually(lambda: are_used(gateway, True), what="it comes back by itself")
        eventually(lambda: replica_reads(gateway) > at + 20)
        with Api(gateway, writer) as api:  # who has written comes to it as well
            at = replica_reads(gateway)
            eventually(lambda: api.get(path).status_code == 200 and replica_reads(gateway) > at)
        pair.standby.stop_immediate()
        eventually(lambda: are_used(gateway, False))
        read = readers[0].read
        eventually(lambda: readers[0].read > read + 20, what="the primary answers")
        pair.standby.start()
        eventually(lambda: are_used(gateway, True), what="it comes back by itself")
    finally:
        for reader in readers:
            reader.stopping.set()
        for reader in readers:
            reader.join(30)
    assert [(r.wrong, r.unavailable) for r in readers] == [([], 0), ([], 0)]
    eventually(lambda: len(gateway.events("db_replica_used")) ==
               len(gateway.events("db_replica_aside")) + 2, what="each worker says it is back")
    assert 4 <= len(gateway.events("db_replica_aside")) <= 8, "a line for each change, not for each read"


def test_a_primary_is_no_replica(start, pair, pair_name, pair_shop):
    """Not in recovery: left aside, with a log line that says why; reads are the primary's."""
    gateway = start(workers=1, db={"url": pair.primary.url(pair_name),
                                   "replica": pair.primary.url(pair_name)})
    lost = eventually(lambda: [e["message"] for e in gateway.events("db_connection_lost")
                               if e["message"].startswith("replica, ")])
    assert "not in hot standby mode" in lost[0]
    product = pair_shop.product()
    with Api(gateway, pair_shop.token()) as api:
        assert api.get("/v1/products/" + product).status_code == 200
    assert replica_reads(gateway) == 0


@pytest.fixture
def beside_a_replica(start, pair, pair_name):
    """beside_a_replica(...): a gateway of one worker that uses it."""
    def start_one(queue_timeout="1s", **changes):
        pair.caught_up()
        gateway = start(workers=1, cache={"size": 0},
                        db={"url": pair.primary.url(pair_name), "replica": pair.standby.url(pair_name),
                            "queue_timeout": queue_timeout}, **changes)
        eventually(lambda: gateway.events("db_replica_used"), what="the replica is used")
        return gateway

    return start_one


def test_what_old_workers_write_is_read_after_an_upgrade(beside_a_replica, pair, pair_shop):
    """Two masters share no memory: who sells by a worker that drains reads his sale by a new one, while
    replay stands still."""
    product = pair_shop.product(stock=5)
    gateway = beside_a_replica(shutdown={"drain_timeout": "10s"})
    token = pair_shop.token()
    till = Connection(gateway, token).connect()
    till.begin("/v1/transactions", json.dumps(pair_shop.basket(product)).encode(), "k")
    with gateway.upgrading():
        eventually(lambda: gateway.events("taken_over") and len(gateway.events("db_replica_used")) == 2)
        pair.pause_replay()
        pair.broken = True
        status, _, text = till.end()
        assert status == 201
        with Api(gateway, token) as api:
            assert api.get("/v1/transactions/" + json.loads(text)["transactionId"]).status_code == 200
        till.close()
    pair.resume_replay()
    with Api(gateway, token) as api:
        at = replica_reads(gateway)
        eventually(lambda: api.get("/v1/customers").status_code == 200 and replica_reads(gateway) > at,
                   what="when they have left, it is used again")


def test_who_needs_the_primary_holds_up_nobody(beside_a_replica, pair, pair_shop):
    """The primary dies. Those who have just written wait for it; others read on from the replica."""
    product = pair_shop.product(stock=100000)
    gateway = beside_a_replica(queue_timeout="3s", http={"deadline": "9s"})
    stranger = Reader(gateway, pair_shop.token(username="stranger-" + pair_shop.store), product, 0.02)
    token = pair_shop.token(username="writer-" + pair_shop.store)
    body = json.dumps(pair_shop.basket(product)).encode()
    tills = [Till(gateway, token, body) for _ in range(2)]
    writers = [Reader(gateway, token, product) for _ in range(2)]
    threads = [stranger, *tills, *writers]
    for thread in threads:
        thread.start()
    try:
        Till.wait_for_more(tills, scaled(50))
        before = stranger.read
        eventually(lambda: stranger.read > before + 20)
        pair.broken = True
        pair.primary.stop_immediate()
        at = stranger.read
        eventually(lambda: sum(writer.unavailable for writer in writers) > 4, what="writers wait in vain")
        # Behind each of those it would have waited for seconds. One may have met a replica that the machine held up.
        assert stranger.read > at + 50
        assert stranger.wrong == [] and stranger.unavailable <= 1
        pair.primary.start()
        Till.wait_for_more(tills, 5)
    finally:
        Till.stop_all(threads)


def test_what_a_replica_has_lost_goes_back_to_it_when_the_primary_is_gone(beside_a_replica, pair, pair_shop):
    """The primary is dead, and the replica's connections hang: what was lost with them is read by the next ones."""
    product = pair_shop.product()
    gateway = beside_a_replica(queue_timeout="5s", http={"deadline": "9s"})
    token = pair_shop.token(username="stranger-" + pair_shop.store)
    readers = [Reader(gateway, token, product) for _ in range(4)]
    backends = [row[0] for row in pair.ask(
        pair.standby, "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'tillway worker%%fast replica'")]
    assert backends
    pair.broken = True
    pair.primary.stop_immediate()
    eventually(lambda: gateway.metrics()['tillway_db_connections{lane="fast"}'] == 0)
    for reader in readers:
        reader.start()
    try:
        eventually(lambda: min(reader.read for reader in readers) > 10, what="they read from the replica")
        for pid in backends:
            os.kill(pid, signal.SIGSTOP)
        eventually(lambda: any("does not answer" in line["message"]
                               for line in gateway.events("db_connection_lost")), what="they are given up")
        at = [reader.read + reader.unavailable for reader in readers]
        eventually(lambda: all(reader.read + reader.unavailable > n + 1 for reader, n in zip(readers, at)), 60)
    finally:
        for pid in backends:
            os.kill(pid, signal.SIGCONT)
        Till.stop_all(readers)
    assert [(reader.wrong, reader.lost) for reader in readers] == [([], 0)] * 4
    assert sum(reader.unavailable for reader in readers) <= 1, "one may have been held up three times"


def test_a_replica_that_hangs_costs_no_read(beside_a_replica, pair, pair_shop):
    """It takes reads and says nothing: within the deadline they are the primary's."""
    product = pair_shop.product()
    gateway = beside_a_replica(http={"deadline": "4s"})
    readers = [Reader(gateway, pair_shop.token(username="stranger-" + pair_shop.store), product, 0.01)
               for _ in range(4)]
    backends = [row[0] for row in pair.ask(
        pair.standby, "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'tillway worker%%'")]
    for reader in readers:
        reader.start()
    try:
        at = replica_reads(gateway)
        eventually(lambda: replica_reads(gateway) > at + 20)
        for pid in backends:
            os.kill(pid, signal.SIGSTOP)
        eventually(lambda: gateway.events("db_replica_aside"), what="it is left aside")
        read = sum(reader.read for reader in readers)
        eventually(lambda: sum(reader.read for reader in readers) > read + 40, what="the primary answers")
    finally:
        for pid in backends:
            os.kill(pid, signal.SIGCONT)
        Till.stop_all(readers)
    assert [(r.wrong, r.unavailable) for r in readers] == [([], 0)] * 4
