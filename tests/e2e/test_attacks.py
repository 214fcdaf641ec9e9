# SPDX-License-Identifier: Apache-2.0
"""HTTP/2 attacks on the real gateway (FAULTS H1 to H4): each ends with the connection shut, what it
cost within its budget, other clients answered all the while, the same worker, idle again within a
second. The floods are those of tests/h2o, where each is proven to fell the unpatched library."""

import contextlib
import socket
import ssl
import time

import pytest

from hyperframe.frame import ContinuationFrame, DataFrame, HeadersFrame, PingFrame

import floods
from cases_deadlines import many, trickle
from kit.clients import Load, raw_http1
from kit.processes import SANITIZED, cpu_percent, cpu_seconds, eventually, patient
from rawh2 import Closed, Connection

pytestmark = pytest.mark.heavy

HOST = "127.0.0.1"
IDLE_PERCENT = 10
CONNECTION_MAX_BYTES = 512 * 1024
NEIGHBOURS = 2      # honest clients during each attack


def bearer(token):
    return {"authorization": "Bearer " + token}


def rss_bytes(pid):
    with open("/proc/%d/status" % pid, encoding="ascii") as f:
        return 1024 * int(next(line for line in f if line.startswith("VmRSS")).split()[1])


class Target:
    """One worker, so that its figures are the attack's."""

    def __init__(self, gateway, shop, certificate, protocol="h2c"):
        self.gateway, self.shop = gateway, shop
        self.token = shop.token()
        self.headers = bearer(self.token)
        self.path = "/v1/products/" + shop.product()
        self.port, self.tls = gateway.http, None
        if protocol == "TLS":
            self.port, self.tls = gateway.https, ssl.create_default_context(cafile=certificate[0])
            self.tls.check_hostname = False
            self.tls.set_alpn_protocols(["h2"])
        self.workers = gateway.workers()
        self.pid, = self.workers.values()

    def connect(self, **how):
        return Connection(HOST, self.port, tls=self.tls, **how)

    def pour(self, kind, **how):
        return floods.pour(HOST, self.port, kind, self.path, self.headers, tls=self.tls, **how)

    def queries(self):
        return self.gateway.metrics()["tillway_db_queries_total"]

    def refusals(self, reason):
        return self.gateway.metrics()['tillway_guard_refusals_total{reason="%s"}' % reason]

    def connections(self):
        return self.gateway.metrics()["tillway_connections"]

    @contextlib.contextmanager
    def attacked(self):
        """Whatever happens within: neighbours are served, the worker lives, rests, and gives back."""
        def ask(connection):
            status, _, body = connection.request("GET", "/v1/me")   # needs no database
            assert status == 200, body
            time.sleep(0.01)

        with Load(self.gateway, self.token, NEIGHBOURS, ask) as neighbours:
            eventually(lambda: neighbours.done > 10, what="the neighbours are served")
            before = rss_bytes(self.pid)
            yield
            done = neighbours.done
            eventually(lambda: neighbours.done > done + 10, what="the neighbours are still served")
        assert not neighbours.errors and not neighbours.lost, (neighbours.errors, neighbours.lost)
        eventually(lambda: self.connections() == 0, what="all connections are closed")
        worked = cpu_seconds(self.pid)
        eventually(lambda: cpu_percent(self.pid, 0.5) < IDLE_PERCENT, what="the worker idles")
        assert cpu_seconds(self.pid) - worked < patient(0.5), "idle within a second, were it alone here"
        assert self.gateway.workers() == self.workers
        assert self.gateway.stderr() == ""
        # what malloc keeps for the next one is not lost, and must not be more than one's share
        if not SANITIZED:  # which keep what is freed
            assert rss_bytes(self.pid) - before < 4 * CONNECTION_MAX_BYTES


@pytest.fixture
def target(start, shop, certificate):
    def make(protocol="h2c", **http):
        return Target(start(workers=1, http=http), shop, certificate, protocol)
    return make


# ---- resets (H1) -----------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", ["h2c", "TLS"])
@pytest.mark.parametrize("name", floods.RESETS)
def test_resets_are_within_their_budget(target, name, protocol):
    """H1: CVE-2023-44487 and CVE-2025-8671; PostgreSQL sees the budget at most."""
    target = target(protocol)
    with target.attacked():
        queries, began = target.queries(), time.monotonic()
        poured = target.pour(floods.RESETS[name], most=5000)
        # the reset of a connection that we still write to may overtake the GOAWAY
        assert poured.closed and poured.error in (floods.ENHANCE_YOUR_CALM, None), poured
        allowed = floods.RESETS_AT_ONCE + 20 * (time.monotonic() - began) + 1
        eventually(lambda: target.refusals("h2-resets") == 1, what="it is counted")
        assert target.queries() - queries <= allowed


@pytest.mark.parametrize("name", floods.FATAL)
def test_what_ends_the_connection_at_once(target, name):
    """H1: variants that never become a reset."""
    target = target()
    with target.attacked():
        assert target.pour(floods.FATAL[name], most=10).closed


# ---- frames that are no work (H2) ------------------------------------------------------------------


@pytest.mark.parametrize("name", floods.CONTROL)
def test_floods_are_closed(target, name):
    """H2"""
    target = target()
    with target.attacked():
        poured = target.pour(floods.CONTROL[name], most=100000, deaf=True)
        assert poured.closed and poured.error == floods.ENHANCE_YOUR_CALM, poured
        eventually(lambda: target.refusals("h2-control-frames") == 1, what="it is counted")


def test_floods_over_tls_are_closed(target):
    """H2"""
    target = target("TLS")
    with target.attacked():
        for name in "PING", "SETTINGS", "empty DATA":
            assert target.pour(floods.CONTROL[name], most=100000).closed, name


def test_a_flood_of_continuations_is_closed(target):
    """H2: full ones, too: 64 KiB of one head and no more."""
    target = target()
    with target.attacked(), target.connect() as conn:
        assert conn.read_until(lambda: conn.settings)
        conn.send(HeadersFrame(1, conn.header_block(target.path, target.headers)))
        frame, sent = ContinuationFrame(1, b"\x00\x01a\x7f\x81\x7e" + b"v" * 16378).serialize(), 0
        with contextlib.suppress(Closed):
            for sent in range(1, 1000):
                conn.send(frame)
        assert conn.read_rest() and sent < 999
        assert conn.goaways[-1].error_code == floods.ENHANCE_YOUR_CALM


# ---- header lists (H2, H4) -------------------------------------------------------------------------


def test_an_hpack_bomb_is_closed(target):
    """H2: 16,000 fields of one byte each."""
    target = target()
    with target.attacked(), target.connect() as conn:
        block = conn.header_block(target.path, {**target.headers, "x-bomb": "b"})
        conn.send(HeadersFrame(1, block, flags=["END_STREAM", "END_HEADERS"]))
        block = conn.header_block(target.path, {**target.headers, "x-bomb": "b"})
        with contextlib.suppress(Closed):
            for i in range(3, 203, 2):
                conn.send(HeadersFrame(i, block + block[-1:] * 15000, flags=["END_HEADERS"]))
        assert conn.read_rest() and conn.goaways
        assert conn.goaways[-1].error_code == floods.ENHANCE_YOUR_CALM
        eventually(lambda: target.refusals("h2-headers") >= 1, what="it is counted")


@pytest.mark.parametrize("fields", [
    [("x-%d" % i, "v") for i in range(101)], [("cookie", "c%d=v" % i) for i in range(101)],
    [("x", "v" * 16384)]], ids=["fields", "crumbs", "bytes"])
def test_too_large_a_head_is_431(target, fields):
    """H4: a problem document on its stream; the connection goes on."""
    target = target()
    with target.attacked(), target.connect() as conn:
        conn._open(1)
        block = conn._encoder.encode([(":method", "GET"), (":scheme", "http"), (":authority", "a"),
                                      (":path", target.path), *target.headers.items(), *fields])
        conn.send(HeadersFrame(1, block, flags=["END_STREAM", "END_HEADERS"]),
                  conn.get_frame(3, target.path, target.headers))
        assert conn.read_until(lambda: conn.streams[1].ended and conn.streams[3].ended)
        assert conn.streams[1].status == 431 and conn.streams[3].status == 200
        assert conn.streams[1].headers["content-type"] == "application/problem+json"
        assert b'"code":"head-too-large"' in conn.streams[1].body
        conn.sock.close()


def test_the_limit_of_a_head_is_an_option_and_announced(target):
    """H4: http.head_max, on HTTP/2 as SETTINGS_MAX_HEADER_LIST_SIZE."""
    target = target(head_max="2KiB")
    with target.connect() as conn:
        assert conn.read_until(lambda: conn.settings) and conn.settings[6] == 2048
        conn.send(conn.get_frame(1, target.path, {"x": "v" * 1900}),
                  conn.get_frame(3, "/v1/me", {"x": "v" * 1000}))
        assert conn.read_until(lambda: conn.streams[1].ended and conn.streams[3].ended)
        assert (conn.streams[1].status, conn.streams[3].status) == (431, 401)


# ---- slowness (H3) ---------------------------------------------------------------------------------


def test_a_trickling_head_is_closed(target):
    """H3"""
    target = target(request_timeout="1s")
    with target.attacked(), target.connect() as conn:
        assert conn.read_until(lambda: conn.settings)
        conn.send(HeadersFrame(1, conn.header_block(target.path)[:1], flags=["END_STREAM"]))
        seconds = trickle(conn, many(ContinuationFrame(1, b"")), lambda: False, patient(5))
        assert seconds is not None and seconds < patient(2.5)
        eventually(lambda: target.refusals("timeout-head") == 1, what="it is counted")


def test_a_trickling_body_is_408(target):
    """H3: a problem document; other streams of the connection go on."""
    target = target(request_timeout="1s")
    with target.attacked(), target.connect() as conn:
        conn.send(conn.post_frame(1, "/v1/transactions", {
            **target.headers, "content-type": "application/json", "idempotency-key": "k"}))
        seconds = trickle(conn, many(DataFrame(1, b" ")), lambda: conn.streams[1].ended, patient(5))
        assert seconds is not None and conn.streams[1].status == 408
        assert b'"code":"request-timeout"' in conn.streams[1].body
        conn.send(conn.get_frame(3, target.path, target.headers))
        assert conn.read_until(lambda: conn.streams[3].ended) and conn.streams[3].status == 200
        eventually(lambda: target.refusals("timeout-body") == 1, what="it is counted")
        conn.sock.close()


def test_pings_do_not_keep_an_idle_connection(target):
    """H3"""
    target = target(request_timeout="1s", idle_timeout="1s")
    with target.attacked(), target.connect() as conn:
        seconds = trickle(conn, many(PingFrame(0, opaque_data=b"tillway!")), lambda: False, patient(5))
        assert seconds is not None and conn.goaways[-1].error_code == 0


def test_a_window_that_stays_closed_is_shut(target):
    """H3: the answer waits, the client sends PINGs and gives no window."""
    target = target(request_timeout="30s", send_timeout="1s")
    with target.attacked(), target.connect(initial_window=0) as conn:
        conn.send(conn.get_frame(1, target.path, target.headers))
        seconds = trickle(conn, many(PingFrame(0, opaque_data=b"tillway!")), lambda: False, patient(5))
        assert seconds is not None and conn.goaways[-1].error_code == floods.ENHANCE_YOUR_CALM
        eventually(lambda: target.refusals("timeout-send") == 1, what="it is counted")


@pytest.mark.parametrize("protocol", ["HTTP/1.1", "h2c", "TLS"])
def test_a_reader_that_stops_is_shut(target, protocol):
    """H3: TCP is full and stays so; the kernel ends it (TCP_USER_TIMEOUT)."""
    target = target("TLS" if protocol == "TLS" else "h2c", request_timeout="30s", send_timeout="1s")
    for i in range(100):
        target.shop.product(name="n" * 200)
    path = "/v1/products?limit=100"
    with target.attacked():
        others = target.connections()
        with contextlib.ExitStack() as stack:
            if protocol == "HTTP/1.1":
                sock = stack.enter_context(socket.socket())
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
                sock.connect((HOST, target.port))
                sock.sendall(("GET %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n" % (
                    path, target.token)).encode() * 10)
            else:
                conn = stack.enter_context(target.connect(initial_window=2**31 - 1, small_socket=True))
                conn.send(*(conn.get_frame(i, path, target.headers) for i in range(1, 21, 2)))
            eventually(lambda: target.connections() == others + 1, what="it is connected")
            eventually(lambda: target.connections() == others, patient(5), what="it is shut")


# ---- memory (H2) -----------------------------------------------------------------------------------


def deaf_to_pings(conn, target):
    conn.send(PingFrame(0, opaque_data=b"tillway!").serialize() * 1900)


def half_a_head(conn, target):
    assert conn.read_until(lambda: conn.settings)
    conn.send(HeadersFrame(1, conn.header_block(target.path)),
              *[ContinuationFrame(1, b"\x00\x01a\x7f\x81\x7e" + b"v" * 16378)] * 3)


def bombs_of_431(conn, target):
    block = conn.header_block(target.path, {**target.headers, "x-bomb": "b" * 100})
    conn.send(HeadersFrame(1, block, flags=["END_STREAM", "END_HEADERS"]))
    block = conn.header_block(target.path, {**target.headers, "x-bomb": "b" * 100})
    conn.send(*(HeadersFrame(i, block + block[-1:] * 390, flags=["END_HEADERS", "END_STREAM"])
                for i in range(3, 201, 2)))


def half_a_post(conn, target):
    """Each of the hundred that may be open takes some 10 KB, and its body's length in the end."""
    conn.send(*(conn.post_frame(i, "/v1/transactions", target.headers) for i in range(1, 81, 2)),
              *(DataFrame(i, b"x" * 1000) for i in range(1, 81, 2)))


def bodies_without_a_token(conn, target):
    """What is answered 401 is not kept."""
    ids = range(1, 41, 2)
    conn.send(*(conn.post_frame(i, "/v1/transactions", {"content-type": "application/json"}) for i in ids))
    for i in ids:
        assert conn.send_data(i, 64 * 1024)


def priorities(conn, target):
    conn.send(*(floods.PriorityFrame(i, depends_on=0, stream_weight=1) for i in range(1, 33, 2)))


@pytest.mark.skipif(SANITIZED, reason="sanitizers keep what is freed and pad what is not")
@pytest.mark.parametrize("hold", [deaf_to_pings, half_a_head, bombs_of_431, half_a_post,
                                  bodies_without_a_token, priorities])
def test_memory_of_a_connection_is_bounded(target, hold):
    """H2: what it may hold without going over a budget, on 40 connections at once."""
    target, n = target(), 40
    with contextlib.ExitStack() as stack:
        with target.connect() as first:     # what code and caches take is not the connection's
            hold(first, target)
        eventually(lambda: target.connections() == 0, what="it is closed")
        before = rss_bytes(target.pid)
        for _ in range(n):
            hold(stack.enter_context(target.connect()), target)
        eventually(lambda: target.connections() == n, what="all are held")
        eventually(lambda: cpu_percent(target.pid, 0.2) < IDLE_PERCENT, what="all has been read")
        each = (rss_bytes(target.pid) - before) / n
        assert each < CONNECTION_MAX_BYTES, "%d KiB" % (each / 1024)


# ---- the honest ------------------------------------------------------------------------------------


def test_the_honest_are_never_hit(target):
    """H1, H2: a hundred cancels at once, twice; a download of many lists in small windows with two
    WINDOW_UPDATEs for each DATA; a PING now and then."""
    target = target()
    for i in range(100):
        target.shop.product(name="n" * 200)
    with target.connect(initial_window=1024, acknowledge=True) as conn:
        ids = iter(range(1, 10**6, 2))
        for _ in range(2):
            batch = [next(ids) for _ in range(95)]
            conn.send(*(conn.get_frame(i, target.path, target.headers) for i in batch),
                      *(floods.RstStreamFrame(i, error_code=floods.CANCEL) for i in batch))
        for _ in range(100):
            i = next(ids)
            conn.send(conn.get_frame(i, "/v1/products?limit=100", target.headers))
            assert conn.read_until(lambda: conn.streams[i].ended) and conn.streams[i].status == 200
            assert conn.ping()
        assert conn.acknowledged > 2 * floods.CONTROL_FRAMES_AT_ONCE and not conn.goaways
    assert not any(v for k, v in target.gateway.metrics().items() if "guard_refusals" in k)


def test_http1_has_no_part_in_it(target):
    """The same gateway on HTTP/1.1: nothing of this is felt."""
    target = target()
    answers = raw_http1(target.port, (
        "GET %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n" % (
            target.path, target.token)).encode() * 300 + b"GET / HTTP/1.0\r\n\r\n")
    assert [a.status_code for a in answers[:300]] == [200] * 300
