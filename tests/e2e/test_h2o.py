# SPDX-License-Identifier: Apache-2.0
"""The defects of h2o 2.2.5 (FIELD-NOTES 1, 2, 6 and the drain) against the real gateway: Show 5. The
attacks are those of tests/h2o, which fell the unpatched library."""

import json
import ssl
import time

import pytest

from hyperframe.frame import DataFrame, HeadersFrame

import defect_abort
import defect_drain
import defect_loop
import defect_stderr
from kit.clients import Api
from kit.processes import cpu_percent, eventually, patient, scaled
from rawh2 import Closed, Connection

pytestmark = pytest.mark.heavy

HOST = "127.0.0.1"
IDLE_PERCENT = 10


def bearer(token):
    return {"authorization": "Bearer " + token}


def assert_idle(gateway, workers):
    """The same workers, none of them busy once they have cleared away, and nothing on stderr."""
    assert gateway.workers() == workers
    eventually(lambda: max(cpu_percent(pid, 0.5) for pid in workers.values()) < IDLE_PERCENT, what="all are idle")
    assert gateway.workers() == workers and gateway.stderr() == ""


@pytest.fixture(params=["h2c", "TLS"])
def target(request, certificate):
    """(name of the gateway's port, ssl context or None)"""
    if request.param == "h2c":
        return "http", None
    context = ssl.create_default_context(cafile=certificate[0])
    context.check_hostname = False
    context.set_alpn_protocols(["h2"])
    return "https", context


def test_window_update_does_not_abort_a_worker(gateway, shop, target):
    """Defect 1: an assert in update_stream_output_window; bodies of known length, window just as
    large, the client reads late. Several connections, so that both workers have their turn."""
    port, tls = getattr(gateway, target[0]), target[1]
    workers = gateway.workers()
    path, headers = "/v1/products/" + shop.product(name="n" * 100), bearer(shop.token())
    with Api(gateway, shop.token()) as api:
        body_len = len(api.get(path).content)
    for _ in range(scaled(5, least=2)):
        outcome = defect_abort.attack(HOST, port, path, body_len, headers, attempts=1, tls=tls)
        assert outcome.survived, str(outcome)
    assert_idle(gateway, workers)


def test_continuation_after_goaway_does_not_spin(start, shop, target):
    """Defect 2: HEADERS without END_HEADERS, the GOAWAY of a stop, CONTINUATION: answered, and the
    stop is not held up."""
    gateway = start()
    outcome = defect_loop.attack(HOST, getattr(gateway, target[0]), "/v1/products/" + shop.product(),
                                 bearer(shop.token()), begin_shutdown=gateway.terminate, tls=target[1])
    assert outcome.survived, str(outcome)
    assert gateway.wait() == 0 and not gateway.events("workers_killed")


def test_unknown_frames_leave_stderr_alone(gateway, target):
    """Defect 6: nine bytes received were a line on stderr."""
    workers = gateway.workers()
    outcome = defect_stderr.attack(HOST, getattr(gateway, target[0]), 1000, tls=target[1])
    assert outcome.survived, str(outcome)
    assert_idle(gateway, workers)


@pytest.mark.parametrize("trailers", [False, True])
@pytest.mark.parametrize("age_s", [0, 1.1], ids=["young", "old"])
def test_a_sale_that_arrives_during_the_drain_is_whole(start, shop, target, age_s, trailers):
    """P5: the GOAWAY covers the stream, so the rest of its body is taken and answered, whether the
    connection is new or has been open for a while."""
    gateway = start()
    opened = time.monotonic()

    def begin():
        eventually(lambda: time.monotonic() - opened > age_s, what="the connection is old")
        gateway.terminate()

    body = json.dumps(shop.basket(shop.product(), registerId="x" * 64)).encode()
    headers = {**bearer(shop.token()), "content-type": "application/json", "idempotency-key": "k"}
    outcome = defect_drain.attack(HOST, getattr(gateway, target[0]), "/v1/transactions", body, headers,
                                  begin_shutdown=begin, trailers=trailers, tls=target[1])
    assert outcome.survived and outcome.numbers["status"] == 201, str(outcome)
    assert shop.sales() == 1
    assert gateway.wait() == 0 and not gateway.events("workers_killed")


def test_a_used_connection_may_finish_its_sale(start, shop, target):
    """P5: the same on a connection that has served a request before, as a till's has."""
    gateway = start()
    body = json.dumps(shop.basket(shop.product(), registerId="x" * 64)).encode()
    headers = {**bearer(shop.token()), "content-type": "application/json", "idempotency-key": "k"}
    with Connection(HOST, getattr(gateway, target[0]), tls=target[1]) as conn:
        conn.send(conn.get_frame(1, "/v1/me", headers))
        assert conn.read_until(lambda: conn.streams[1].ended)
        conn.send(conn.post_frame(3, "/v1/transactions", headers), DataFrame(3, body[:50]))
        assert conn.ping()
        gateway.terminate()
        try:
            assert conn.read_until(lambda: any(g.last_stream_id == 3 for g in conn.goaways)), "GOAWAY"
            conn.send(DataFrame(3, body[50:], flags=["END_STREAM"]))
            conn.read_until(lambda: conn.streams[3].ended)
        except Closed as e:
            pytest.fail("the connection was closed under the sale: %s" % e)
        assert conn.streams[3].status == 201
    assert shop.sales() == 1
    assert gateway.wait() == 0


def test_two_goaways_and_then_the_end(start, shop):
    """P5 on HTTP/2: a connection that is used is told, served, and closed."""
    gateway = start()
    with Connection(HOST, gateway.http) as conn:
        conn.send(conn.get_frame(1, "/v1/me", bearer(shop.token())))
        assert conn.read_until(lambda: conn.streams[1].ended)
        gateway.terminate()
        with pytest.raises(Closed):
            conn.read_until(lambda: False, 30)
        assert [g.last_stream_id for g in conn.goaways] == [2**31 - 1, 1]
    assert gateway.wait() == 0


# ---- patch 035: Huffman-coded fields ---------------------------------------------------------------


def test_every_code_is_read(gateway):
    """Codes of 5 to 19 bits, in an encoding that is not ours (python3-hpack), at every place in a byte."""
    characters = "".join(chr(i) for i in range(33, 127) if chr(i) not in "#?")
    paths = ["/none/%d%s" % (i, characters[i:] + characters[:i]) for i in range(24)]
    with Connection(HOST, gateway.http) as connection:
        for i, path in enumerate(paths):
            connection.send(connection.get_frame(2 * i + 1, path))
        assert connection.read_until(lambda: all(s.ended for s in connection.streams.values()))
    eventually(lambda: {line.get("path") for line in gateway.accesses()}.issuperset(paths), what="the paths are as sent")


@pytest.mark.parametrize("value", [
    b"\x00",                 # "0", padded with zeros
    b"\x07\xff",             # "0", padded with eleven ones
    b"\xff\xff\xff\xff",     # EOS
    b"\xfe",                 # eight bits of "!", which has ten
    b"\xff",                 # eight ones
], ids=["zeros", "long", "EOS", "cut", "byte"])
def test_a_broken_code_ends_the_connection(gateway, value):
    """COMPRESSION_ERROR (RFC 7541, 5.2)."""
    with Connection(HOST, gateway.http) as connection:
        block = connection.header_block("/livez") + b"\x00\x01x" + bytes([0x80 | len(value)]) + value
        connection.send(HeadersFrame(1, block, flags=["END_HEADERS", "END_STREAM"]))
        assert connection.read_rest(patient(5))
        assert [frame.error_code for frame in connection.goaways] == [9]
