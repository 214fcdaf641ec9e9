# SPDX-License-Identifier: Apache-2.0
"""How long a connection may do nothing, and how old it may become. What is slow is in
test_smuggling.py (HTTP/1) and test_attacks.py (HTTP/2)."""

import http.client
import select
import time
from types import SimpleNamespace

from hyperframe.frame import DataFrame

from kit.clients import Api
from kit.delaying import DelayingRelay
from kit.processes import eventually, patient
from kit.steady import Http2OneByOne
from rawh2 import Connection

QUICK = {"request_timeout": "500ms", "idle_timeout": "3s"}


def is_closed(sock, within_s):
    """Whether the other side ends the connection within that time."""
    readable, _, _ = select.select([sock], [], [], within_s)
    return bool(readable) and sock.recv(1) == b""


def ask(connection, token):
    connection.request("GET", "/v1/me", headers={"Authorization": "Bearer " + token})
    answer = connection.getresponse()
    answer.read()
    return answer


def test_an_idle_connection_outlives_the_time_of_a_request(start, issuer):
    """H3: a balancer's connection is there for the next request, yet not for ever."""
    gateway = start(http=QUICK)
    token = issuer.token()
    connection = http.client.HTTPConnection("127.0.0.1", gateway.http, timeout=10)
    assert ask(connection, token).status == 200
    assert not is_closed(connection.sock, 1.5)  # three times request_timeout
    assert ask(connection, token).status == 200
    began = time.monotonic()
    assert is_closed(connection.sock, patient(6))
    assert time.monotonic() - began > 2


def test_the_next_request_is_on_the_clock_from_its_first_byte(start, issuer):
    """H3: idle_timeout is no time for a slow head."""
    gateway = start(http=QUICK)
    connection = http.client.HTTPConnection("127.0.0.1", gateway.http, timeout=10)
    assert ask(connection, issuer.token()).status == 200
    connection.sock.sendall(b"GET /v1/me HT")
    began = time.monotonic()
    assert connection.sock.recv(64).startswith(b"HTTP/1.1 408")
    assert time.monotonic() - began < patient(1.2)  # less than idle_timeout


def test_a_connection_without_a_request_has_the_time_of_one(start):
    gateway = start(http=QUICK)
    connection = http.client.HTTPConnection("127.0.0.1", gateway.http, timeout=10)
    connection.connect()
    began = time.monotonic()
    assert is_closed(connection.sock, patient(3))
    assert time.monotonic() - began < patient(1.4)  # less than idle_timeout


def test_an_old_connection_ends_with_an_answer(start, issuer):
    gateway = start(http={"connection_max_age": "1s"})
    token = issuer.token()
    connection = http.client.HTTPConnection("127.0.0.1", gateway.http, timeout=10)
    assert ask(connection, token).getheader("connection") != "close"
    answer = eventually(lambda: (lambda a: a if a.getheader("connection") == "close" else None)(
        ask(connection, token)), every_s=0.1)
    assert answer.status == 200 and connection.sock is None  # http.client has closed its side
    assert ask(connection, token).status == 200  # over a new one


def test_an_old_http2_connection_ends_when_it_is_idle(start, issuer):
    gateway = start(http={"connection_max_age": "1s"})
    with Api(gateway, issuer.token(), "h2c") as api:
        assert api.get("/v1/me").status_code == 200
        eventually(lambda: gateway.metrics()["tillway_connections"] == 0, what="it is closed")


def test_an_old_http2_connection_loses_no_request(start, issuer):
    """With a network between: the gateway has nothing open while a request is on its way."""
    gateway = start(http={"connection_max_age": "1s"})
    with DelayingRelay(gateway.http, 0.01) as relay:
        with Http2OneByOne(SimpleNamespace(http=relay.port), issuer.token(), "/v1/me", 4) as clients:
            eventually(lambda: len(clients.farewells) >= 8, patient(30), what="connections have grown old")
    clients.verdict()
    assert None not in clients.farewells


def test_an_old_http2_connection_is_told_before_it_ends(start, issuer):
    """RFC 9113 6.8: a GOAWAY that refuses nothing, then one that names the last stream; the connection
    is there until that has been answered."""
    gateway = start(http={"connection_max_age": "1s", "request_timeout": "60s"})
    headers = {"authorization": "Bearer " + issuer.token(), "content-type": "application/json",
               "idempotency-key": "k"}
    with Connection("127.0.0.1", gateway.http, timeout_s=patient(10)) as conn:
        conn.send(conn.post_frame(1, "/v1/transactions", headers))
        assert conn.read_until(lambda: conn.goaways)
        conn.send(conn.get_frame(3, "/v1/me", headers))  # as if it had been on its way
        assert conn.read_until(lambda: len(conn.goaways) == 2)
        first, last = conn.goaways
        assert (first.last_stream_id, first.error_code, last.error_code) == (2**31 - 1, 0, 0)
        assert last.last_stream_id in (1, 3)  # 1: it took this machine more than a second to send it
        conn.send(DataFrame(1, b"{", flags=["END_STREAM"]))
        assert conn.read_until(lambda: conn.streams[1].ended) and conn.streams[1].status == 400
        assert conn.read_rest()
        assert conn.streams[3].ended == (last.last_stream_id == 3)
