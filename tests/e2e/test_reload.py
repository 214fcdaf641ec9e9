# SPDX-License-Identifier: Apache-2.0
"""Other files and other binaries under load: reload (SIGHUP) and upgrade (SIGUSR2).

TILLWAY_RELOADS and TILLWAY_UPGRADES say how often. FAULTS P4's 50 and 10, under wrk and h2load too, are
`make reloads` (reloads.py)."""

import contextlib
import json
import os
import signal

import pytest

from kit.clients import Api, Connection, at_once
from kit.processes import SANITIZED, descriptors, eventually, is_alive, resident_kib
from kit.shop import Shop
from kit.steady import Http2, KeptConnections, NewConnections
from test_sales import lock_stock

pytestmark = pytest.mark.heavy

RELOADS = int(os.environ.get("TILLWAY_RELOADS", "5"))
UPGRADES = int(os.environ.get("TILLWAY_UPGRADES", "1"))
DRAIN = {"drain_timeout": "2s"}


def have_left(gateway):
    """Only the generation in force has workers."""
    gateway.have_left()


@contextlib.contextmanager
def six_loads(gateway, shop, ca):
    """HTTP/1.1 kept and new connections, and HTTP/2, each without and with TLS; none may miss an
    answer."""
    token, path = shop.token(), "/v1/products/" + shop.product()
    kinds = (KeptConnections, NewConnections, Http2)
    loads = [kind(gateway, token, path, 2, pause_s=0.01, ca=tls) for kind in kinds for tls in (None, ca)]
    with contextlib.ExitStack() as stack:
        for load in loads:
            stack.enter_context(load)
        eventually(lambda: any(load.failed for load in loads) or all(load.done > 50 for load in loads), 60)
        for load in loads:
            assert not load.failed, load.failed
        yield loads
        for load in loads:
            done = load.done
            eventually(lambda: load.failed or load.done > done + 50, 60, what="the service goes on")
    for load in loads:
        load.verdict()
        assert load.connections > 2, "nobody had to connect anew"


def test_no_request_fails_under_load(start, shop, certificate):
    """P4: reloads and upgrades, one after the other, on six kinds of connections; then memory and
    descriptors of the master are what they were, and nobody of the old generations is left."""
    gateway = start(log={"access": False})  # with time enough for clients that have to wait for a processor
    with six_loads(gateway, shop, certificate[0]) as loads:
        gateway.reload(pos={"currency": "EUR"})
        have_left(gateway)
        fds, memory = descriptors(gateway.pid), resident_kib(gateway.pid)
        for i in range(RELOADS - 1):
            gateway.reload(http={"idle_timeout": "%ds" % (10 + i)})
            have_left(gateway)
        eventually(lambda: descriptors(gateway.pid) <= fds, what="no descriptor leaks: %d before" % fds)
        if not SANITIZED:
            assert resident_kib(gateway.pid) < memory * 1.05 + 1024
        assert gateway.metrics()['tillway_config_reloads_total{result="done"}'] == RELOADS
        for _ in range(UPGRADES):
            gateway.upgrade()
            have_left(gateway)
        print("%d answers, %d connections, %d refused streams sent again" % (
            sum(load.done for load in loads), sum(load.connections for load in loads),
            sum(load.retried for load in loads)))
    assert not gateway.events("workers_killed")
    assert gateway.metrics()["tillway_worker_restarts_total"] == 0


def test_what_waits_in_the_backlog_is_answered_by_the_successors(start, shop):
    """P4: connections that no old worker has accepted."""
    gateway = start(shutdown=DRAIN)
    token, old = shop.token(), list(gateway.workers().values())
    for pid in old:
        os.kill(pid, signal.SIGSTOP)
    try:
        connections = [Connection(gateway, token).connect() for _ in range(16)]
        gateway.process.send_signal(signal.SIGHUP)
        assert {c.request("GET", "/v1/me")[0] for c in connections} == {200}
    finally:
        for pid in old:
            if is_alive(pid):
                os.kill(pid, signal.SIGCONT)
    have_left(gateway)
    for connection in connections:
        connection.close()


def test_who_has_heard_of_a_reload_meets_no_old_worker(start):
    """P4: old workers that are late to hear that they are to stop accepting are waited for."""
    gateway = start(shutdown=DRAIN, cache={"size": 0})
    old = list(gateway.workers().values())

    def states():
        workers = gateway.get_admin("/workers").json()["workers"]
        return {worker["state"] for worker in workers if worker["pid"] in old}

    for pid in old:
        os.kill(pid, signal.SIGSTOP)
    try:
        gateway.process.send_signal(signal.SIGHUP)
        eventually(lambda: states() == {"draining"})  # as far as the master is concerned
    finally:
        for pid in old:
            os.kill(pid, signal.SIGCONT)
    done = eventually(lambda: gateway.events("reloaded"))[0]["time"]
    stopped = eventually(lambda: len(lines := gateway.events("worker_draining")) == len(old) and lines)
    assert all(line["time"] <= done for line in stopped)


def test_new_workers_accept_when_their_memory_works(start, shop):
    """P4: or PostgreSQL would get every read at once, in the middle of a reload. Connections come slowly
    here, and the one on which changes are heard comes late."""
    gateway = start(shutdown=DRAIN, db={"connect_rate": 6})
    eventually(lambda: len(gateway.events("catalogue_heard")) == 2)
    for change in (gateway.reload, gateway.upgrade):
        heard = len(gateway.events("catalogue_heard"))
        change()
        # By their own time: lines of workers may come later than the master's.
        eventually(lambda: len(gateway.events("catalogue_heard")) == heard + 2)
        done = (gateway.events("reloaded") + gateway.events("upgraded"))[-1]["time"]
        assert all(line["time"] <= done for line in gateway.events("catalogue_heard"))
        have_left(gateway)


def test_what_has_begun_is_finished_and_what_was_counted_stays(start, shop, database):
    """P4: a sale that waits for a lock is answered by its worker; a limit's debt outlives the reload;
    old workers give back what is idle: three lanes of two keep one connection each."""
    policy = [{"name": "few", "key": "principal", "rate": "1/h", "burst": 5, "routes": ["GET /v1/me"]}]
    connections = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'tillway worker%'"
    others, most = database.value(connections), 16 + 2  # each worker also listens for changes
    gateway = start(shutdown={"drain_timeout": "30s"}, limits=policy, http={"deadline": "20s"},
                    db={"max_connections": 16, "write_timeout": "20s", "queue_timeout": "20s"})
    bread, token = shop.product(stock=5), shop.token()
    with Api(gateway, token) as api:
        assert [api.get("/v1/me").status_code for _ in range(3)] == [200] * 3
    lock = lock_stock(database, shop)
    connection = Connection(gateway, token)

    def sell(_):
        return connection.request("POST", "/v1/transactions", json.dumps(shop.basket(bread)), "k")

    def reload(_):
        eventually(lambda: database.value("SELECT count(*) FROM pg_locks WHERE NOT granted") > 0)
        gateway.reload()
        eventually(lambda: database.value(connections) <= others + most + 6 + 2, 15,
                   what="idle connections are given back")
        lock.rollback()
        lock.close()

    (status, headers, _), _ = at_once(2, lambda i: (sell, reload)[i](i))
    assert status == 201 and headers["Connection"].lower() == "close" and shop.sales() == 1
    with Api(gateway, token) as api:
        assert [api.get("/v1/me").status_code for _ in range(4)] == [200, 200, 429, 429]
    have_left(gateway)
    eventually(lambda: database.value(connections) <= others + most)


def test_a_draining_worker_keeps_a_way_to_the_database(start, own_database, issuer):
    """P4 and D1: of what it has kept, all is lost; the sale whose body comes last is sold by it."""
    gateway = start(workers=1, shutdown={"drain_timeout": "30s"},
                    db={"url": own_database.url, "max_connections": 12})
    shop, lanes = Shop(own_database, issuer), 3

    def backends():
        return {row[0] for row in own_database.rows(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
            " AND application_name ~ '^tillway worker . (fast|write|slow)$'")}

    gateway.wait_connected()
    old = backends()
    connection = Connection(gateway, shop.token()).connect()
    connection.begin("/v1/transactions", json.dumps(shop.basket(shop.product())).encode(), "k")
    gateway.reload()
    eventually(lambda: (len(backends() & old), len(backends() - old)) == (lanes, len(old)),
               what="idle connections are given back")
    for pid in backends() & old:
        own_database.rows("SELECT pg_terminate_backend(%s)", pid)
    eventually(lambda: len(gateway.events("db_connected")) == lanes, what="they are connected again")
    assert connection.end()[0] == 201
    connection.close()
    assert shop.sales() == 1
    gateway.have_left(workers=1)


def test_signals_during_an_upgrade_are_the_heirs_too(start, shop, tmp_path):
    """Its file has changed since it read it, and its log was moved since it opened it."""
    log, moved = tmp_path / "t.log", tmp_path / "t.log.1"
    gateway = start(log={"file": str(log)})
    started = len(gateway.events("worker_started"))
    with gateway.upgrading():
        eventually(lambda: len(gateway.events("worker_started")) > started, what="it has read its file")
        log.rename(moved)
        gateway.configure(http={"idle_timeout": "17s"})
        for number in (signal.SIGUSR1, signal.SIGHUP):
            gateway.process.send_signal(number)
    eventually(lambda: "idle_timeout: 17s" in gateway.get_admin("/config").text)
    with Api(gateway, shop.token()) as api:
        request_id = api.get("/v1/me").headers["x-request-id"]
    eventually(lambda: request_id in log.read_text(), what="the access is in the new file")


def test_an_upgrade_that_is_asked_for_during_another_follows(start, shop):
    gateway = start()
    started = len(gateway.events("worker_started"))
    with gateway.upgrading():
        eventually(lambda: len(gateway.events("worker_started")) > started)
        gateway.process.send_signal(signal.SIGUSR2)
    gateway.follow(2)
    with Api(gateway, shop.token()) as api:
        assert api.get("/v1/me").status_code == 200


def test_a_bad_file_and_a_bad_binary_change_nothing(start, shop):
    """P4: one line each, and everybody is served on."""
    gateway = start()
    token, workers = shop.token(), gateway.workers()
    good = open(gateway.config_path, encoding="utf-8").read()
    gateway.write_config(good.replace('"workers": 2', '"workers": 2,\n "limits": [{"name": "x"}]'))
    gateway.process.send_signal(signal.SIGHUP)
    line, = eventually(lambda: gateway.events("reload_failed"))
    assert gateway.config_path in line["message"] and "limits[0]" in line["message"], line
    gateway.process.send_signal(signal.SIGUSR2)
    line, = eventually(lambda: gateway.events("upgrade_failed"))
    assert "exited with code 1" in line["message"]
    gateway.expect_stderr = "limits"
    gateway.write_config(good)
    connection = Connection(gateway, token)
    assert connection.request("GET", "/v1/me")[0] == 200
    connection.close()
    assert gateway.workers() == workers and gateway.is_ready()
