# SPDX-License-Identifier: Apache-2.0
"""Floods, forgeries and clocks against the gateway's idea of who calls (FAULTS A4 to A7), each with
good tokens beside it that must not notice. Bad key servers are in test_keys.py."""

import base64
import collections
import contextlib
import itertools
import json
import os
import re
import socket
import time

import pytest

from kit.clients import Api, Connection, Load, assert_problem, at_once
from kit.invariants import is_connected
from kit.keyserver import Key, KeyServer, Realm
from kit.processes import (SANITIZED, descriptors, eventually, is_alive, patient, resident_kib,
                           scaled)

ME = "/v1/me"
FAKETIME = "/usr/lib/%s-linux-gnu/faketime/libfaketime.so.1" % os.uname().machine
LEEWAY_S = 30  # auth.leeway


@pytest.fixture
def server():
    with KeyServer() as one:
        yield one


@pytest.fixture
def realm(server):
    return Realm(server, "realm")


@contextlib.contextmanager
def unharmed(gateway):
    """The invariants at the top of FAULTS, but for what Gateway.stop() judges."""
    eventually(lambda: is_connected(gateway), patient(5), what="all its database connections")
    workers = gateway.workers()
    open_before = {pid: descriptors(pid) for pid in workers.values()}
    assert len(workers) == 2
    yield list(workers.values())
    eventually(gateway.is_ready, patient(5), what="ready again")
    assert gateway.workers() == workers, "a worker has gone"
    eventually(lambda: all(descriptors(pid) <= n * 1.05 + 1 for pid, n in open_before.items()), patient(5),
               what="descriptors are back")
    assert gateway.metrics()["tillway_log_lines_dropped_total"] == 0
    gateway.judge()


def checks(gateway):
    """tillway_token_checks_total by result."""
    samples = gateway.metrics()
    return {result: int(samples['tillway_token_checks_total{result="%s"}' % result])
            for result in ("cached", "verified", "refused", "limited")}


# ---- a client that is cheap enough for a flood ----------------------------------------------------


class Pipeline:
    """One HTTP/1.1 connection; many requests are written at once and their statuses read."""

    def __init__(self, gateway, source="127.0.0.1"):
        self._sock = socket.create_connection(("127.0.0.1", gateway.http), 10, (source, 0))
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def statuses(self, tokens):
        """What GET /v1/me with each of these tokens gets; few enough to fit into the sockets."""
        tokens = list(tokens)
        self._sock.sendall(b"".join(
            b"GET /v1/me HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n" % token.encode()
            for token in tokens))
        out, data = [], b""
        while len(out) < len(tokens):
            head, separator, rest = data.partition(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].split()[0]) if separator else 0
            if not separator or len(rest) < length:
                more = self._sock.recv(65536)
                assert more, "the connection has ended: %r" % data[:200]
                data += more
                continue
            out.append(int(head.split(b" ", 2)[1]))
            data = rest[length:]
        assert not data
        return out

    def close(self):
        self._sock.close()


def flood(gateway, seconds, token_of, n=4):
    """n connections send token_of(0), token_of(1), ... as fast as they can. (Counter of statuses, when
    each had its first answers, when each asked for its last ones)"""
    until, numbers = time.monotonic() + seconds, itertools.count()

    def one(_):
        statuses, answered, asked = collections.Counter(), [], 0
        pipeline = Pipeline(gateway)
        while time.monotonic() < until:
            tokens, asked = [token_of(next(numbers)) for _ in range(20)], time.monotonic()
            statuses.update(pipeline.statuses(tokens))
            answered = answered or time.monotonic()
        pipeline.close()
        return statuses, answered, asked

    each = at_once(n, one)
    return sum((e[0] for e in each), collections.Counter()), max(e[1] for e in each), \
        min(e[2] for e in each)


def part(value):
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def of_unknown_kids(good):
    """token_of(n): the good token under a kid that nobody knows, good as far as anybody can tell."""
    _, claims, signature = good.split(".")
    return lambda n: "%s.%s.%s" % (part({"alg": "ES256", "kid": "unknown-%d" % n}), claims, signature)


def forged(good):
    """The good token with another signature."""
    head, claims, signature = good.split(".")
    return "%s.%s.%s" % (head, claims, ("A" if signature[0] != "A" else "B") + signature[1:])


def on_both_workers(gateway, token):
    """Connections of a token that no worker has seen yet, and that both remember then."""
    before, connections = checks(gateway)["verified"], []
    while checks(gateway)["verified"] < before + 2:
        connections.append(Connection(gateway, token))
        assert connections[-1].request("GET", ME)[0] == 200
        assert len(connections) < 50
    return connections


# ---- A4: unknown kids -----------------------------------------------------------------------------


def wakeups(pid):
    with open("/proc/%d/status" % pid, encoding="ascii", errors="replace") as f:
        return int(f.read().rpartition("\nvoluntary_ctxt_switches:")[2].split()[0])


def is_good(connection):
    """A step of Load."""
    status, _, body = connection.request("GET", ME)
    assert status == 200, body
    time.sleep(0.002)  # a till, not a second flood


@pytest.mark.heavy
def test_a_flood_of_unknown_kids(start, server, realm):
    """A4: one refetch per min_refetch for the whole machine, the master is hardly asked, memory stays,
    good tokens go on, remembered or new."""
    window_s, flood_s = 1.0, 3.4
    gateway = start(auth={"issuers": [realm.yaml()], "jwks": {"min_refetch": "1s"},
                          "failures": {"rate": 0}})
    unknown = of_unknown_kids(realm.token())

    def is_taken_when_new(_):
        token = realm.token(jti="new-%d" % time.monotonic_ns())
        assert api.get(ME, token=token).status_code == 200
        time.sleep(0.02)

    with unharmed(gateway) as workers, Api(gateway) as api, \
            Load(gateway, realm.token(), 2, is_good) as remembered, \
            Load(gateway, realm.token(), 1, is_taken_when_new) as new:
        flood(gateway, 0.5, unknown)  # what grows once has grown then
        time.sleep(2 * window_s)  # the next unknown kid may cause a fetch at once
        asked, refused = server.times_asked(realm.jwks_path), checks(gateway)["refused"]
        resident, woken = [resident_kib(pid) for pid in workers], wakeups(gateway.pid)
        began = time.monotonic()
        statuses, _, _ = flood(gateway, flood_s, unknown)
        took_s = time.monotonic() - began
        woken = wakeups(gateway.pid) - woken
        grown = [resident_kib(pid) - before for pid, before in zip(workers, resident)]
        times = server.asked[realm.jwks_path][asked:]
        refused = checks(gateway)["refused"] - refused
    n = statuses[401]
    assert set(statuses) == {401} and n == refused > scaled(2000), statuses
    assert not remembered.errors and not remembered.lost and remembered.done > 100, remembered.errors
    assert not new.errors and not new.lost and new.done > 10, new.errors

    assert int(flood_s) <= len(times) <= took_s / window_s + 1, times
    # Taken together, as the key server's thread may see a fetch late among all of these.
    assert times[-1] - times[0] > (len(times) - 1) * window_s - 0.5, times
    assert woken < 40 * took_s, "the master woke %d times for %d tokens" % (woken, n)
    if not SANITIZED:  # which keep what is freed
        assert max(grown) < 1024, "KiB for %d tokens: %s" % (n, grown)


# ---- bad tokens by address ------------------------------------------------------------------------


@pytest.mark.heavy
def test_bad_tokens_are_limited_by_address(start, realm):
    """Burst and rate hold over both workers; then 429 without a look, for this address alone and not
    for tokens that are remembered."""
    rate, burst, seconds = 5, 20, 2.0
    gateway = start(auth={"issuers": [realm.yaml()], "failures": {"rate": rate, "burst": burst}})
    good = realm.token()
    bad = forged(good)
    with unharmed(gateway):
        connections = on_both_workers(gateway, good)
        before = checks(gateway)
        began = time.monotonic()
        with Load(gateway, good, 2, is_good) as remembered:
            statuses, first, last = flood(gateway, seconds, lambda _: bad)
            ended = time.monotonic()
            assert {c.request("GET", ME)[0] for c in connections} == {200}
        now = checks(gateway)
        judged, limited = now["refused"] - before["refused"], now["limited"] - before["limited"]
        assert (judged, limited) == (statuses[401], statuses[429])
        assert sum(statuses.values()) == judged + limited > scaled(1000), statuses
        assert burst + rate * (last - first) - 1 <= judged
        assert judged <= burst + rate * (ended - began) + 1
        assert not remembered.errors and remembered.done > 100, remembered.errors

        with Api(gateway) as api:
            answer = eventually(lambda: (a := api.get(ME, token=bad)).status_code == 429 and a)
            assert_problem(answer, 429, "quota-exceeded")
            wait_s = int(answer.headers["retry-after"])
            assert 1 <= wait_s <= 2
            pipeline = Pipeline(gateway)
            assert pipeline.statuses([bad] * 30 + [realm.token()])[-1] == 429, "good, but not looked at"
            pipeline.close()
            time.sleep(wait_s)
            assert_problem(api.get(ME, token=bad), 401, "token-invalid")
            assert api.get(ME, token=realm.token()).status_code == 200
        for connection in connections:
            connection.close()


def test_another_address_does_not_pay(start, realm):
    gateway = start(auth={"issuers": [realm.yaml()], "failures": {"rate": 1, "burst": 5}})
    bad = forged(realm.token())
    with unharmed(gateway):
        ours, others = Pipeline(gateway), Pipeline(gateway, "127.0.0.2")
        statuses = ours.statuses([bad] * 40)
        assert statuses[:5] == [401] * 5 and statuses[-1] == 429, statuses
        assert others.statuses([realm.token(), bad, realm.token()]) == [200, 401, 200]
        assert ours.statuses([bad] * 40 + [realm.token()])[-1] == 429
        ours.close()
        others.close()


def test_what_counts_as_a_bad_token(start, realm):
    """An expired one does. No token and a good one without the role do not."""
    gateway = start(auth={"issuers": [realm.yaml()], "failures": {"rate": 1, "burst": 5}})
    with unharmed(gateway), Api(gateway) as api:
        for n in range(10):
            assert_problem(api.get(ME, token=None), 401, "token-missing")
            cashier = realm.token(jti="cashier-%d" % n)
            answer = api.post("/v1/products", json={"name": "x", "price": 1}, token=cashier)
            assert_problem(answer, 403, "forbidden")
        expired = realm.token(exp=int(time.time()) - 60)
        codes = [api.get(ME, token=expired).json()["code"] for _ in range(5)]
        assert codes == ["token-expired"] * 5
        assert {api.get(ME, token=expired).status_code for _ in range(5)} & {429}


def test_the_limit_on_bad_tokens_can_be_switched_off(start, realm):
    gateway = start(auth={"issuers": [realm.yaml()], "failures": {"rate": 0, "burst": 1}})
    with unharmed(gateway):
        pipeline = Pipeline(gateway)
        for _ in range(10):
            assert pipeline.statuses([forged(realm.token())] * 20) == [401] * 20
        assert checks(gateway)["limited"] == 0
        pipeline.close()


# ---- A5: nothing in a token is fetched ------------------------------------------------------------


def test_no_connection_to_where_a_token_points(start, server, realm):
    """A5: jku, x5u and jwk of the header, iss of the claims. The fetch that an unknown kid does cause
    goes to the configured address, and shows that the gateway has looked."""
    gateway = start(auth={"issuers": [realm.yaml()]})
    theirs = Key("theirs")
    _, claims, signature = realm.token().split(".")
    with unharmed(gateway), socket.create_server(("127.0.0.1", 0)) as trap, Api(gateway) as api:
        url = "http://127.0.0.1:%d" % trap.getsockname()[1]
        headers = [{"jku": url + "/jwks.json"}, {"x5u": url + "/cert.pem"},
                   {"jwk": theirs.public()}, {"jwk": {**theirs.public(), "x5u": url + "/cert.pem"}},
                   {"jku": url, "x5u": url, "jwk": theirs.public(), "x5c": [url]}]
        for more, kid in itertools.product(headers, (realm.key.kid, theirs.kid)):
            head = part({"alg": "ES256", "kid": kid, **more})
            answer = api.get(ME, token="%s.%s.%s" % (head, claims, signature))
            assert_problem(answer, 401, "token-invalid")
        for iss in (url, url + "/", realm.issuer + "@" + url, url + "/realm"):
            assert_problem(api.get(ME, token=realm.token(theirs, iss=iss)), 401, "token-invalid")
        asked = server.times_asked(realm.jwks_path)
        time.sleep(1)  # auth.jwks.min_refetch: the next unknown kid may cause a fetch for certain
        assert_problem(api.get(ME, token=realm.token_of_unknown_kid()), 401, "token-invalid")
        eventually(lambda: server.times_asked(realm.jwks_path) > asked)
        trap.setblocking(False)
        with pytest.raises(BlockingIOError):
            trap.accept()


# ---- A6: the cache --------------------------------------------------------------------------------


@pytest.mark.heavy
def test_the_cache_is_bounded(start, realm):
    """A6: a thousand large tokens through room for a hundred of each worker."""
    entries = 100
    tokens = [realm.token(jti="till-%d" % n, padding="x" * 4000) for n in range(scaled(1000))]
    gateway = start(auth={"issuers": [realm.yaml()], "token_cache": {"entries": entries}})
    with unharmed(gateway) as workers:
        pipelines = [Pipeline(gateway) for _ in range(8)]

        def ask(some):
            for n, token in enumerate(some):
                assert pipelines[n % 8].statuses([token, token]) == [200, 200]

        ask(tokens[:2 * entries])
        resident = [resident_kib(pid) for pid in workers]
        ask(tokens[2 * entries:])
        n = len(tokens)
        assert checks(gateway) == {"verified": n, "cached": n, "refused": 0, "limited": 0}
        for token in tokens:  # of all these no more are known than there is room for
            assert pipelines[0].statuses([token]) == [200]
        now = checks(gateway)
        assert now["verified"] + now["cached"] == 3 * n
        assert now["cached"] - n <= entries
        if not SANITIZED:  # which keep what is freed
            grown = [resident_kib(pid) - before for pid, before in zip(workers, resident)]
            assert max(grown) < 1024, "KiB for %d tokens of %d bytes: %s" % (n, len(tokens[0]), grown)
        for pipeline in pipelines:
            pipeline.close()


# ---- A7: the clock --------------------------------------------------------------------------------


class Clock:
    """The wall clock that a gateway sees; its monotonic clock stays the kernel's."""

    def __init__(self, directory):
        self._path = os.path.join(directory, "clock-%d" % time.monotonic_ns())
        self.step(0)
        self.env = {"LD_PRELOAD": FAKETIME, "FAKETIME_TIMESTAMP_FILE": self._path, "TZ": "UTC",
                    "FAKETIME_NO_CACHE": "1", "DONT_FAKE_MONOTONIC": "1", "NO_FAKE_STAT": "1"}

    def _set(self, text):
        with open(self._path + ".new", "w", encoding="ascii") as f:
            f.write(text)
        os.rename(self._path + ".new", self._path)

    def step(self, seconds):
        """So far from the true time."""
        self._set("%+d" % seconds)

    def stop_at(self, unix_s):
        """It stands still there."""
        self._set(time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(unix_s)))


def forget_dead_clocks():
    """What libfaketime leaves of processes that were killed."""
    for name in os.listdir("/dev/shm"):
        match = re.fullmatch(r"(?:sem\.faketime_sem|faketime_shm)_(\d+)", name)
        if match and not is_alive(int(match.group(1))):
            os.remove(os.path.join("/dev/shm", name))


@pytest.fixture
def clock(work):
    if SANITIZED:
        pytest.skip("libfaketime and the sanitizer's runtime cannot both be loaded first")
    assert os.path.exists(FAKETIME), "dev/install.sh test"
    forget_dead_clocks()
    return Clock(work)


def codes(api, *tokens):
    """The status of each token, or the code of its problem."""
    answers = [api.get(ME, token=token) for token in tokens]
    return [200 if a.status_code == 200 else a.json()["code"] for a in answers]


def test_tokens_follow_the_wall_clock(start, clock, realm):
    """A7: 30 seconds past exp and not more, to the second; after a step back a token is good again.
    `old` is judged by the cache, `new` is not. A step is known within a tick of the worker."""
    gateway = start(env=clock.env, auth={"issuers": [realm.yaml()]})
    exp = int(time.time()) + 600
    numbers = itertools.count()
    with unharmed(gateway), Api(gateway) as api:
        def new():
            return realm.token(exp=exp, jti="new-%d" % next(numbers))

        def judged(wanted, what):
            eventually(lambda: codes(api, old, new()) == [wanted] * 2, 5, what=what)
            assert codes(api, old, new()) == [wanted] * 2, what

        old = new()
        judged(200, "it is good")
        for hour in (3600, 0, 3600, 0):
            clock.step(hour)
            judged(200 if hour == 0 else "token-expired", "a step to %d" % hour)
        for late_s, wanted in ((29, 200), (31, "token-expired"), (29, 200), (LEEWAY_S, "token-expired")):
            clock.stop_at(exp + late_s)
            judged(wanted, "%d s late" % late_s)
        clock.step(-3600)
        judged("token-invalid", "issued in the future")
        clock.step(0)
        judged(200, "good again")


@contextlib.contextmanager
def locked_products(database):
    lock = database.connect(autocommit=False)
    with lock.cursor() as cursor:
        cursor.execute("LOCK TABLE products IN ACCESS EXCLUSIVE MODE")
    yield lambda: database.value("SELECT count(*) FROM pg_locks WHERE NOT granted") > 0
    lock.rollback()
    lock.close()


# The mark goes when deps/h2o/patches/008-timers-monotonic.patch comes.
@pytest.mark.heavy
def test_timers_do_not_follow_the_wall_clock(start, clock, server, realm, database):
    """A7: while it steps by an hour and while it stands still, deadlines end, slow clients are sent
    away, keys are fetched again, no worker is taken for stuck, /readyz is 200, and the drain ends."""
    deadline_s, head_s = 1.0, 1.0
    gateway = start(env=clock.env, auth={"issuers": [realm.yaml()], "jwks": {"refresh": "1s"}},
                    http={"deadline": "1s", "request_timeout": "1s"})
    now = int(time.time())
    token = realm.token(iat=now - 7200, exp=now + 7200)  # good at all of these times

    def is_ready(_):
        assert gateway.is_ready()
        time.sleep(0.02)

    def until_closed(began):
        """How long the gateway waits for the rest of a head."""
        with gateway.connect() as slow:
            slow.sendall(b"GET /v1/me HTTP/1.1\r\nHost:")
            while slow.recv(65536):
                pass
        return time.monotonic() - began

    def until_answered(began):
        connection = Connection(gateway, token)
        status = connection.request("GET", "/v1/products?limit=1")[0]
        connection.close()
        return status, time.monotonic() - began

    def step_in_between(change, is_waiting):
        eventually(is_waiting, what="the request waits for the table")
        change()

    changes = {"+1 h": lambda: clock.step(3600), "-1 h": lambda: clock.step(-3600),
               "stopped": lambda: clock.stop_at(time.time()), "back": lambda: clock.step(0)}
    gateway.wait_connected()
    with unharmed(gateway), Load(gateway, token, 1, is_ready) as ready:
        for name, change in changes.items():
            asked, began = server.times_asked(realm.jwks_path), time.monotonic()
            with locked_products(database) as is_waiting:
                closed_s, (status, took_s), _ = at_once(3, lambda i: (
                    until_closed(began) if i == 0 else until_answered(began) if i == 1 else
                    step_in_between(change, is_waiting)))
            assert status in (503, 504), name
            assert deadline_s - 0.05 < took_s < deadline_s + patient(0.5), name
            assert head_s - 0.05 < closed_s < head_s + patient(0.5), name
            eventually(lambda: server.times_asked(realm.jwks_path) > asked)
            assert server.times_asked(realm.jwks_path) - asked <= time.monotonic() - began + 2, name
    assert not ready.errors and ready.done > 50, ready.errors
    assert not gateway.events("worker_stuck") and not gateway.events("keys_withdrawn")

    with gateway.connect() as idle:
        clock.step(-3600)
        began = time.monotonic()
        gateway.stop()
        assert time.monotonic() - began < patient(5)
        assert idle.recv(1) == b""
