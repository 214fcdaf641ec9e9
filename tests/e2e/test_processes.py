# SPDX-License-Identifier: Apache-2.0
"""Workers that die, masters that die, and stopping under load."""

import datetime
import itertools
import json
import os
import resource
import signal
import socket
import time
import uuid

import pytest

from kit.clients import LOST, Api, Connection, Load, at_once
from kit.invariants import is_connected
from kit.processes import (SANITIZED, children, cpu_percent, descriptors, eventually, free_port, group_members,
                           is_alive, patient, resident_kib, scaled, unread_bytes)
from test_sales import lock_stock

pytestmark = pytest.mark.heavy


def unix_time(line):
    return datetime.datetime.fromisoformat(line["time"].replace("Z", "+00:00")).timestamp()


def connections_by_worker(gateway, token, n=16):
    """{worker index: [Connection]}: n connections, spread by the kernel, or more until both have some."""
    by_worker = {}
    for i in itertools.count(1):
        connection, given = Connection(gateway, token), uuid.uuid4().hex
        connection._headers["X-Request-Id"] = given
        assert connection.request("GET", "/v1/me")[0] == 200
        line, = eventually(lambda: gateway.accesses(requestId=given), what="the line is written")
        by_worker.setdefault(line["worker"], []).append(connection)
        if i >= n and set(by_worker) == {0, 1}:
            return by_worker
        assert i < 200, "all to one worker"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_dead_worker_is_replaced_and_the_other_is_not_disturbed(start, shop, number):
    """P1 and Show 3: under load only its own requests are lost; within 200 ms there is a new one."""
    gateway = start(env={"ASAN_OPTIONS": "handle_segv=0"})
    product, token = shop.product(), shop.token()
    kept = connections_by_worker(gateway, token)
    victim = gateway.workers()[0]
    answers = []

    def read(connection):
        answers.append(connection.request("GET", "/v1/products/" + product)[0])

    with Load(gateway, token, 8, read) as load:
        eventually(lambda: load.done > 200)
        killed = time.time()
        os.kill(victim, number)
        line = eventually(lambda: [e for e in gateway.events("worker_started") if unix_time(e) > killed - 0.001
                                   and e not in gateway.events("worker_started")[:2]])[0]
        done = load.done
        eventually(lambda: load.done > done + 500, what="the service goes on")
        statuses = {c.request("GET", "/v1/me")[0] for c in kept[1]}
    assert statuses == {200}, "the other worker's connections"
    assert unix_time(line) - killed < patient(0.2), "respawned after %.0f ms" % (
        (unix_time(line) - killed) * 1000)
    assert load.lost <= 8 and not load.errors and set(answers) == {200}
    for connection in kept[0]:
        with pytest.raises(LOST):
            connection.request("GET", "/v1/me")
    workers = gateway.workers()
    assert len(workers) == 2 and victim not in workers.values()
    assert gateway.metrics()["tillway_worker_restarts_total"] == 1
    for connection in kept[0] + kept[1]:
        connection.close()


def test_the_successor_answers_what_waited_for_the_dead(start, issuer):
    """P1: new connections to either worker are answered within 200 ms of the death."""
    gateway = start()
    token = issuer.token()
    Connection(gateway, token).request("GET", "/v1/me")
    connections = [Connection(gateway, token) for _ in range(16)]
    began = time.monotonic()
    os.kill(victim := gateway.workers()[1], signal.SIGKILL)
    eventually(lambda: not is_alive(victim), every_s=0.001)  # until then it may still accept

    def ask(i):
        status = connections[i].connect().request("GET", "/v1/me")[0]
        return status, time.monotonic() - began

    answers = at_once(16, ask)
    assert {status for status, _ in answers} <= {200, 503}
    late = max(seconds for _, seconds in answers)
    assert late < patient(0.5), "%.0f ms" % (late * 1000)
    for connection in connections:
        connection.close()


def test_no_acknowledged_sale_is_lost_with_its_worker(start, shop):
    """P1: who got no answer asks again under the same key, and gets the one sale."""
    gateway = start()
    bread, token = shop.product(stock=100000), shop.token()
    body, acknowledged = json.dumps(shop.basket(bread)).encode(), []

    def sell(connection):
        key = str(uuid.uuid4())
        while True:
            try:
                status, _, text = connection.request("POST", "/v1/transactions", body, key)
            except LOST:
                continue
            if status == 201:
                acknowledged.append(json.loads(text)["transactionId"])
                return
            assert status == 503, (status, text)

    with Load(gateway, token, 6, sell) as load:
        for _ in range(2):
            done = load.done
            eventually(lambda: load.done > done + scaled(100))
            os.kill(gateway.workers()[0], signal.SIGKILL)
            eventually(lambda: len(gateway.workers()) == 2)
    assert not load.errors
    assert len(set(acknowledged)) == len(acknowledged) == load.done
    assert shop.sales() == len(acknowledged)
    assert shop.stock(bread) == 100000 - len(acknowledged)


def test_five_deaths_are_no_fork_storm(start):
    """P1: at the fifth death in ten seconds new workers pause; then all is well again."""
    gateway = start()
    killed = set()
    for _ in range(5):
        pid = eventually(lambda: {gateway.workers().get(0)} - killed - {None}).pop()
        os.kill(pid, signal.SIGKILL)
        killed.add(pid)
    eventually(lambda: gateway.events("worker_backoff"), what="it backs off")
    eventually(lambda: len(gateway.workers()) == 2, what="it comes back")
    eventually(gateway.is_ready)


def test_sigterm_lets_what_has_begun_finish(start, shop, database):
    """P5: a sale that waits for a lock is answered, although the stop has begun; exit code 0."""
    gateway = start(http={"deadline": "20s"}, db={"write_timeout": "20s", "queue_timeout": "20s"},
                    shutdown={"drain_timeout": "30s"})
    bread = shop.product(stock=5)
    lock = lock_stock(database, shop)
    connection = Connection(gateway, shop.token())

    def sell(i):
        return connection.request("POST", "/v1/transactions", json.dumps(shop.basket(bread)), "k")

    def stop(i):
        eventually(lambda: database.value("SELECT count(*) FROM pg_locks WHERE NOT granted") > 0)
        gateway.terminate()
        eventually(lambda: gateway.events("worker_draining"))
        lock.rollback()
        lock.close()

    (status, headers, _), _ = at_once(2, lambda i: (sell, stop)[i](i))
    assert status == 201 and headers["Connection"].lower() == "close"
    assert gateway.wait() == 0 and shop.sales() == 1


def test_a_body_that_is_arriving_when_the_stop_begins_is_taken(start, shop):
    """P5: on a kept connection, half a sale was sent before the stop and half after it."""
    gateway = start()
    body = json.dumps(shop.basket(shop.product())).encode()
    head = "Host: x\r\nAuthorization: Bearer %s\r\n" % shop.token()
    with gateway.connect() as sock:
        sock.sendall(("GET /v1/me HTTP/1.1\r\n%s\r\n" % head).encode())
        assert sock.recv(4096).startswith(b"HTTP/1.1 200 ")
        sock.sendall(("POST /v1/transactions HTTP/1.1\r\n%sContent-Type: application/json\r\n"
                      "Idempotency-Key: k\r\nContent-Length: %d\r\n\r\n" % (head, len(body))).encode())
        sock.sendall(body[:40])
        eventually(lambda: unread_bytes(sock) == 0, what="the worker has read what is there")
        gateway.terminate()
        eventually(lambda: len(gateway.events("worker_draining")) == 2)
        sock.sendall(body[40:])
        assert sock.recv(4096).startswith(b"HTTP/1.1 201 ")
    assert gateway.wait() == 0 and shop.sales() == 1


def test_readyz_turns_503_before_accepting_ends(start, issuer):
    """P5: shutdown.drain_delay is the time a load balancer has to look away."""
    gateway = start(shutdown={"drain_delay": "3s"})
    with Load(gateway, issuer.token(), 2, lambda c: c.request("GET", "/v1/me")) as load:
        eventually(lambda: load.done > 20)
        began = time.monotonic()
        gateway.terminate()
        eventually(lambda: gateway.get_admin("/readyz").status_code == 503, 2.9)
        assert gateway.get_admin("/readyz").json()["status"] == "draining"
        assert gateway.get_admin("/livez").status_code == 200
        done = load.done
        eventually(lambda: load.done > done + 20, 2.9, what="requests are served on")
        assert time.monotonic() - began < 3, "within the delay"
        assert load.lost == 0
    assert gateway.wait() == 0
    assert time.monotonic() - began > 3


def test_sigterm_under_load_loses_no_acknowledged_sale(start, shop):
    """P5: every request gets a whole answer or none; every 201 is in PostgreSQL."""
    gateway = start()
    body, acknowledged, others = json.dumps(shop.basket(shop.product())).encode(), [], []

    def sell(connection):
        status, _, text = connection.request("POST", "/v1/transactions", body, str(uuid.uuid4()))
        (acknowledged if status == 201 else others).append(json.loads(text))

    load = Load(gateway, shop.token(), 8, sell)
    with load:
        eventually(lambda: load.done > scaled(200))
        began = time.monotonic()
        gateway.terminate()
        assert gateway.wait() == 0
        took = time.monotonic() - began
    assert not others and not load.errors
    assert took < patient(3), "stopped after %.1f s" % took
    sales = shop.sales()
    assert len(acknowledged) <= sales <= len(acknowledged) + 8  # an answer may be lost, no sale
    assert not gateway.events("workers_killed")


@pytest.mark.parametrize("protocol", ["HTTP/1.1", "h2c"])
def test_idle_connections_do_not_hold_up_a_stop(start, issuer, protocol):
    """P5: well within shutdown.drain_timeout."""
    gateway = start()
    idle = [Api(gateway, issuer.token(), protocol) for _ in range(8)]
    for api in idle:
        api.get("/v1/me")
    unused = [gateway.connect() for _ in range(4)]
    began = time.monotonic()
    gateway.terminate()
    assert gateway.wait() == 0
    assert time.monotonic() - began < patient(4)
    for one in [*idle, *unused]:
        one.close()


def test_drain_timeout_is_the_end(start):
    """P5: a client that never reads cannot hold a stop up for longer."""
    gateway = start(shutdown={"drain_timeout": "1s"})
    with gateway.connect() as sock:
        sock.sendall(b"POST /v1/transactions HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
        with Api(gateway) as api:
            api.get("/v1/me")
        began = time.monotonic()
        gateway.terminate()
        assert gateway.wait() == 0
        assert time.monotonic() - began < patient(4)


def test_workers_leave_when_the_master_is_killed(start, issuer):
    """P3: within ten seconds, also with connections open; nothing keeps the port."""
    gateway = start()
    connection = Connection(gateway, issuer.token())
    assert connection.request("GET", "/v1/me")[0] == 200
    workers = list(gateway.workers().values())
    gateway.process.send_signal(signal.SIGKILL)
    gateway.process.wait()
    eventually(lambda: not any(is_alive(pid) for pid in workers), 11, what="the workers have left")
    assert not group_members(gateway.pid)
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", gateway.http))
    gateway.judge()
    gateway.process = None
    connection.close()


def test_memory_and_descriptors_come_back(start, shop):
    """After a crowd has gone a worker holds what it held before."""
    gateway = start(workers=1, log={"access": False})
    product, token = shop.product(), shop.token()
    pid = gateway.workers()[0]
    eventually(lambda: is_connected(gateway), patient(5), what="all its database connections")

    def crowd(n):
        connections = [Connection(gateway, token) for _ in range(n)]
        at_once(n, lambda i: [connections[i].request("GET", "/v1/products/" + product)[0]
                              for _ in range(10)])
        for connection in connections:
            connection.close()
        eventually(lambda: gateway.metrics()["tillway_connections"] == 0)

    crowd(60)
    fds, memory = descriptors(pid), resident_kib(pid)
    for _ in range(4):
        crowd(60)
    eventually(lambda: descriptors(pid) == fds, what="descriptors are back")
    if not SANITIZED:  # whose quarantine keeps what was freed
        assert resident_kib(pid) < memory * 1.05 + 1024


def schedules(gateway):
    """(of the master, of its workers)"""
    return os.sched_getscheduler(gateway.pid), [os.sched_getscheduler(pid) for pid in children(gateway.pid)]


def test_the_master_gives_way_to_workers(start):
    """Whatever wakes it preempts nobody; workers, and a binary's own workers after an upgrade, are as before."""
    gateway = start()
    expected = os.SCHED_BATCH, [os.SCHED_OTHER] * 2
    assert schedules(gateway) == expected
    for change in (gateway.reload, gateway.upgrade, gateway.reload):
        change()
        eventually(lambda: len(children(gateway.pid)) == 2, patient(10), what="the old workers have left")
        assert schedules(gateway) == expected


def test_a_chosen_schedule_is_left_alone(start):
    """Of the whole service, such as systemd's CPUSchedulingPolicy=."""
    os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    try:
        gateway = start()
    finally:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    assert schedules(gateway) == (os.SCHED_BATCH, [os.SCHED_BATCH] * 2)


@pytest.mark.parametrize("kind", ["pipe nobody reads", "closed pipe"])
def test_the_log_is_never_waited_for(start, shop, kind):
    """P7: a log that cannot be written costs lines, not requests."""
    read, write = os.pipe()
    gateway = start(log_to=write, listen=[{"address": "127.0.0.1", "port": free_port()}],
                    admin={"port": free_port()})
    os.close(write)
    if kind == "closed pipe":
        os.close(read)
    connection = Connection(gateway, shop.token())
    slowest = 0
    for _ in range(600):
        began = time.monotonic()
        assert connection.request("GET", "/v1/me")[0] == 200
        slowest = max(slowest, time.monotonic() - began)
    connection.close()
    assert slowest < patient(0.5)
    eventually(lambda: gateway.metrics()["tillway_log_lines_dropped_total"] > 0,
               what="dropped lines are counted")
    gateway.stop()
    if kind != "closed pipe":
        os.close(read)


def limit_descriptors(pid, more):
    """The process may open so many more than it has. The limit is one of numbers, which have gaps."""
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    used = {int(name) for name in os.listdir("/proc/%d/fd" % pid)}
    free = (number for number in itertools.count() if number not in used)
    limit = next(itertools.islice(free, more, None))
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (limit, before[1]))
    return before


def test_without_descriptors_accepting_pauses(start, issuer):
    """P6: nobody spins, idle keep-alives make room, the admin port answers; then all is well again."""
    gateway = start(workers=1, http={"idle_timeout": "60s"})
    token, pid = issuer.token(), gateway.workers()[0]
    eventually(lambda: is_connected(gateway), patient(5), what="all its database connections")
    before = limit_descriptors(pid, 8)
    idle = [Connection(gateway, token) for _ in range(8)]
    for connection in idle:
        assert connection.request("GET", "/v1/me")[0] == 200
    crowd = [gateway.connect() for _ in range(40)]  # unused ones, which have a second of grace
    eventually(lambda: gateway.events("accept_paused"), what="accepting pauses")
    assert gateway.get_admin("/readyz").status_code == 200
    eventually(lambda: cpu_percent(pid) < 20, what="it does not spin")
    assert gateway.metrics()["tillway_connections"] <= 8
    eventually(lambda: idle[0].sock.recv(1) == b"", what="the idle ones are closed")
    newcomer = Connection(gateway, token)
    assert newcomer.request("GET", "/v1/me")[0] == 200, "who comes now gets room"
    for sock in crowd:
        sock.close()
    resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
    eventually(lambda: gateway.events("accept_resumed"))
    with Api(gateway, token) as api:
        assert api.get("/v1/me").status_code == 200
    assert gateway.workers()[0] == pid
    for connection in [newcomer, *idle]:
        connection.close()


def test_a_master_without_descriptors_does_not_spin(start, issuer):
    """P6: who asks the admin port waits until there is one again; workers do not care."""
    gateway = start(workers=1)
    assert gateway.get_admin("/livez").status_code == 200  # on a connection that is kept
    before = limit_descriptors(gateway.pid, 0)
    crowd = [socket.create_connection(("127.0.0.1", gateway.admin), 5) for _ in range(4)]
    eventually(lambda: cpu_percent(gateway.pid) < 20, what="it does not spin")
    assert gateway.get_admin("/livez").status_code == 200, "a connection that was there"
    with Api(gateway, issuer.token()) as api:
        assert api.get("/v1/me").status_code == 200
    resource.prlimit(gateway.pid, resource.RLIMIT_NOFILE, before)
    crowd[0].sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert crowd[0].recv(4096).startswith(b"HTTP/1.1 200 ")
    for sock in crowd:
        sock.close()
