# SPDX-License-Identifier: Apache-2.0
"""Bodies over HTTP/2 that come in more than one frame: their heads are judged before anything of them is
kept (FAULTS H2). What that saves in memory is in test_attacks.py, 408 as well."""

import json

import pytest
from hyperframe.frame import DataFrame, HeadersFrame, RstStreamFrame

from kit.processes import eventually, patient
from rawh2 import Connection

CANCEL = 8
MIB = 1 << 20


@pytest.fixture
def connection(gateway):
    with Connection("127.0.0.1", gateway.http, timeout_s=patient(5)) as conn:
        yield conn


def head(connection, stream, method, path, headers):
    connection._open(stream)
    return HeadersFrame(stream, connection.header_block(path, headers, method), flags=["END_HEADERS"])


def headers_of(token, request_id):
    return {"authorization": "Bearer " + token, "content-type": "application/json", "x-request-id": request_id}


def status(connection, stream):
    assert connection.read_until(lambda: connection.streams[stream].ended), "no answer"
    return connection.streams[stream].status


def only_line(gateway, request_id):
    line, = eventually(lambda: gateway.accesses(requestId=request_id), what="the line is written")
    return line


@pytest.mark.parametrize("method, path, fields, expected", [
    ("POST", "/v1/transactions", {"authorization": "Bearer x.y.z"}, 401),
    ("POST", "/v1/products", {}, 403), ("POST", "/v1/nowhere", {}, 404), ("POST", "/v1/me", {}, 405),
    ("POST", "/v1/transactions", {"accept": "text/html"}, 406),
    ("POST", "/v1/transactions", {"content-type": "text/plain"}, 415),
    ("POST", "/v1/transactions", {"content-encoding": "gzip"}, 415), ("GET", "/v1/me", {}, 400)])
def test_what_the_head_decides_is_said_at_once(gateway, shop, connection, method, path, fields, expected):
    """H2: with the first byte of a body. The rest is thrown away, and the connection goes on."""
    request_id = shop.store + "-refused"
    headers = {**headers_of(shop.token(), request_id), **fields}
    connection.send(head(connection, 1, method, path, headers), DataFrame(1, b"x"))
    assert status(connection, 1) == expected
    assert connection.streams[1].headers["content-type"] == "application/problem+json"
    connection.send(DataFrame(1, b"x" * 16384), DataFrame(1, b"x", flags=["END_STREAM"]),
                    connection.get_frame(3, "/v1/me", headers_of(shop.token(), "next")))
    assert status(connection, 3) == 200 and not connection.streams[1].reset
    assert only_line(gateway, request_id)["status"] == expected


def test_bodies_in_pieces_find_their_requests(gateway, shop, connection):
    """Fifty at a time: one is given up, one ends with trailers; each is answered and logged once."""
    token, ids = shop.token("manager"), range(1, 101, 2)
    given_up, trailed = 31, 61
    texts = {i: json.dumps({"name": "piece %d" % i, "price": i}).encode() for i in ids}
    name = "%s-%%d" % shop.store
    for i in ids:
        connection.send(head(connection, i, "POST", "/v1/products", headers_of(token, name % i)))
    for at in (0, 5):
        connection.send(*(DataFrame(i, texts[i][at:at + 5]) for i in ids))
    connection.send(RstStreamFrame(given_up, error_code=CANCEL))
    for i in reversed(ids):
        if i == trailed:
            connection.send(DataFrame(i, texts[i][10:]), connection.trailers_frame(i))
        elif i != given_up:
            connection.send(DataFrame(i, texts[i][10:], flags=["END_STREAM"]))
    for i in set(ids) - {given_up}:
        assert status(connection, i) == 201
        assert json.loads(connection.streams[i].body)["name"] == "piece %d" % i
    for i in ids:
        assert only_line(gateway, name % i)["status"] == (0 if i == given_up else 201)
    eventually(lambda: gateway.metrics()["tillway_requests_in_flight"] == 0)


def test_a_body_that_grows_too_large_is_413(gateway, shop, connection):
    """H4: its head has passed; it is still one request."""
    request_id = shop.store + "-large"
    connection.send(head(connection, 1, "POST", "/v1/transactions", headers_of(shop.token(), request_id)))
    connection.send_data(1, MIB + 1, end=True)
    assert status(connection, 1) == 413
    line = only_line(gateway, request_id)
    assert line["status"] == 413 and line["principal"]
    eventually(lambda: gateway.metrics()["tillway_requests_in_flight"] == 0)
