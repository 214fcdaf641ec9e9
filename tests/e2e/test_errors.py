# SPDX-License-Identifier: Apache-2.0
"""What is answered to requests that are wrong: always a problem document, never a handler's work."""

import glob
import json
import os
import re
import uuid

import pytest

from kit import http2
from kit.clients import PROTOCOLS, Api, Connection, assert_problem, raw_http1
from kit.processes import ROOT, eventually

CORPORA = os.environ.get("TILLWAY_CORPORA", os.path.join(ROOT, "..", "shared", "corpora"))
BODY_MAX = 1024 * 1024
UUID7 = r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"


@pytest.fixture(params=PROTOCOLS)
def any_api(request, gateway, shop, certificate):
    """A manager over each protocol in turn."""
    with Api(gateway, shop.token("manager"), request.param, ca=certificate[0]) as api:
        yield api


def post(api, text, path="/v1/products", headers=None):
    return api.request("POST", path, content=text if isinstance(text, bytes) else text.encode(),
                       headers=headers or {"content-type": "application/json"})


# ---- routes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/v1", "/v2/products", "/v1/productsx", "/v1/products/a/b",
                                  "/v1/me/x", "/V1/me", "/metrics", "/readyz"])
def test_unknown_paths_are_404(api, path):
    assert_problem(api.get(path), 404, "not-found")


def test_404_and_405_on_every_protocol(any_api):
    assert_problem(any_api.get("/nowhere"), 404, "not-found")
    answer = any_api.request("DELETE", "/v1/products")
    assert_problem(answer, 405, "method-not-allowed")
    assert answer.headers["allow"] == "GET, HEAD, POST, OPTIONS"


@pytest.mark.parametrize("method, path, allow", [
    ("POST", "/v1/me", "GET, HEAD, OPTIONS"), ("options", "/v1/me", "GET, HEAD, OPTIONS"),
    ("GET", "/v1/transactions", "POST, OPTIONS"), ("TRACE", "/v1/me", "GET, HEAD, OPTIONS"),
    ("get", "/v1/me", "GET, HEAD, OPTIONS"), ("BREW", "/v1/me", "GET, HEAD, OPTIONS")])
def test_other_methods_are_405_with_allow(gateway, shop, method, path, allow):
    """Sent raw: a method is case-sensitive."""
    answer, = raw_http1(gateway.http, ("%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" % (
        method, path)).encode())
    assert (answer.status_code, answer.headers["allow"]) == (405, allow)


def test_a_404_needs_no_token_and_tells_no_one_apart(api):
    assert_problem(api.get("/v1/nothing", token=None), 404, "not-found")


def test_head_is_get_without_a_body(any_api, shop):
    for path in ("/v1/me", "/v1/products/" + shop.product(), "/v1/products?limit=1"):
        get, head = any_api.get(path), any_api.request("HEAD", path)
        assert head.status_code == 200 and head.content == b""
        for name in ("content-type", "content-length", "etag", "link"):
            assert head.headers.get(name) == get.headers.get(name), name


def test_head_of_what_is_not_there(any_api):
    """No body, and the connection is still in step for what follows."""
    head = any_api.request("HEAD", "/v1/products/" + str(uuid.uuid4()))
    assert head.status_code == 404 and head.content == b""
    head = any_api.request("HEAD", "/v1/transactions")
    assert (head.status_code, head.headers["allow"], head.content) == (405, "POST, OPTIONS", b"")
    assert any_api.get("/v1/me").status_code == 200


# ---- request ids ----------------------------------------------------------------------------------


@pytest.mark.parametrize("given", ["a", "0123456789", "till-7_a.B", str(uuid.uuid4())])
def test_a_request_id_is_taken(any_api, gateway, given):
    answer = any_api.get("/nowhere", headers={"x-request-id": given})
    assert answer.headers["x-request-id"] == given == answer.json()["requestId"]


@pytest.mark.parametrize("given", [None, "", "a b", "x" * 129, "a\"b", "caf\u00e9".encode(), "a/b"])
def test_another_one_is_made(any_api, given):
    answer = any_api.get("/v1/me", headers={"x-request-id": given} if given is not None else {})
    assert re.fullmatch(UUID7, answer.headers["x-request-id"])


def test_made_ids_differ(api):
    assert len({api.get("/v1/me").headers["x-request-id"] for _ in range(20)}) == 20


# ---- bodies ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["text/plain", "application/xml", "application/jsonx", "",
                                  "multipart/form-data", "application/x-www-form-urlencoded"])
def test_other_types_are_415(any_api, kind):
    assert_problem(post(any_api, '{"name":"x","price":1}', headers={"content-type": kind}), 415,
                   "unsupported-media-type")


@pytest.mark.parametrize("kind", ["application/json", "Application/JSON; charset=utf-8",
                                  "application/json ;charset=UTF-8"])
def test_json_is_taken(api, manager, kind):
    assert post(manager, '{"name":"x","price":1}', headers={"content-type": kind}).status_code == 201


MALFORMED = {
    "white space": b" \n", "open": b"{", "half": b'{"name":"x"', "comma": b'{"a":1,}',
    "single quotes": b"{'a':1}", "bare name": b"{a:1}", "trailing data": b'{"a":1} x',
    "two values": b"{}{}", "NaN": b'{"price":NaN}', "Infinity": b'{"price":-Infinity}',
    "leading zero": b'{"price":01}', "plus": b'{"price":+1}', "point": b'{"price":1.}',
    "hex": b'{"price":0x1}', "comment": b'{/**/"a":1}', "control": b'{"a":"\n"}',
    "bad escape": b'{"a":"\\x"}', "BOM": b"\xef\xbb\xbf{}", "UTF-16": '{"a":1}'.encode("utf-16"),
    "latin-1": '{"a":"\u00e9"}'.encode("latin-1"), "overlong": b'{"a":"\xc0\xaf"}',
    "surrogate in UTF-8": b'{"a":"\xed\xa0\x80"}', "beyond Unicode": b'{"a":"\xf4\x90\x80\x80"}',
    "lone surrogate": b'{"a":"\\ud800"}', "reversed surrogates": b'{"a":"\\udc00\\ud800"}',
    "NUL": b'{"a":"\x00"}', "escaped NUL": b'{"name":"a\\u0000b","price":1}',
    "NUL in a name": b'{"a\\u0000":1}', "NUL behind": b'{}\x00',
    "minus zero in half a body": b'{"price":-0', "minus zero as a name": b'{-0:1}',
    "minus zero under a bad name": b'{"\\q":-0}', "minus zero under invalid UTF-8": b'{"\xff":-0}',
    "duplicate": b'{"name":"a","name":"b","price":1}',
    "duplicate by escape": b'{"name":"a","n\\u0061me":"b","price":1}',
    "duplicate inside": b'{"name":"a","price":1,"sku":{"a":1,"a":2}}',
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_json_is_400(manager, name):
    """B4 and B5: no NUL, no invalid UTF-8, no second value of a name."""
    assert_problem(post(manager, MALFORMED[name]), 400, "malformed-json")


def nested(depth):
    return b'{"name":"x","price":1,"sku":' + b"[" * (depth - 1) + b"]" * (depth - 1) + b"}"


@pytest.mark.parametrize("opening, closing", [(b"[", b"]"), (b'{"a":', b"}")])
def test_depth_33_is_400(manager, opening, closing):
    """B5: 32 deep is parsed and judged, deeper is not looked at, however deep."""
    for depth in (33, 1000, 100000):
        text = opening * depth + (b"1" if closing == b"}" else b"") + closing * depth
        assert_problem(post(manager, text), 400, "malformed-json")
    text = opening * 32 + (b"1" if closing == b"}" else b"") + closing * 32
    assert_problem(post(manager, text), 422, "validation-failed")


def test_brackets_in_strings_are_not_depth(manager):
    product = manager.post("/v1/products", json={"name": "[" * 100 + '\\"{' * 20, "price": 1})
    assert product.status_code == 201


# Valid JSON that we refuse on purpose (B4, B5).
REFUSED = {"y_object_duplicated_key.json", "y_object_duplicated_key_and_value.json",
           "y_object_escaped_null_in_key.json", "y_string_null_escape.json"}
# No JSON, yet 422: its number, which no double holds, is met before it is seen to be no name (B3).
NUMBER_FIRST = {"n_object_non_string_key_but_huge_number_instead.json"}


@pytest.mark.heavy
def test_the_json_test_suite(gateway, shop):
    """B5: n_ is 400; an object or array of y_ is parsed and judged; i_ is one or the other."""
    files = sorted(glob.glob(os.path.join(CORPORA, "jsontestsuite", "**", "[niy]_*.json"), recursive=True))
    if not files:
        pytest.skip("TILLWAY_CORPORA holds no jsontestsuite")
    connection, wrong = Connection(gateway, shop.token("manager")), []
    for path in files:
        name = os.path.basename(path)
        with open(path, "rb") as f:
            text = f.read()
        status, _, _ = connection.request("POST", "/v1/products", text)
        composite = text.strip()[:1] in (b"[", b"{") and name not in REFUSED
        good = (status == (422 if name in NUMBER_FIRST else 400) if name[0] == "n" else status in (400, 422) if name[0] == "i" else
                status == (422 if composite else 400))
        if not good:
            wrong.append((name, status))
    connection.close()
    assert not wrong and len(files) > 200, wrong


@pytest.mark.heavy
def test_json_bombs_cost_little(gateway, manager):
    """B5: 64 KiB of any shape is answered 4xx, and all of them within a second or two."""
    for text in (b'{"name":"' + b"\\u0041" * 10900 + b'"}', b"[" + b"1," * 32000 + b"1]",
                 b'{"price":' + b"9" * 65000 + b"}", b'{"price":1' + b"0" * 65000 + b"e-65000}",
                 b"{" + b",".join(b'"%d":0' % i for i in range(6000)) + b"}",
                 b'{"price":1e' + b"9" * 65000 + b"}"):
        answer = post(manager, text)
        assert 400 <= answer.status_code < 500
        assert answer.elapsed.total_seconds() < 1


# ---- sizes ----------------------------------------------------------------------------------------


def test_the_largest_body_is_taken(any_api):
    text = b'{"name":"x"' + b" " * (BODY_MAX - 12) + b"}"
    assert len(text) == BODY_MAX
    assert_problem(post(any_api, text), 422, "validation-failed")


def test_a_larger_body_is_413_on_http1(gateway, shop):
    """H4: judged by its head, before anything is buffered; the connection is closed."""
    head = ("POST /v1/products HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            "Authorization: Bearer %s\r\nContent-Length: %d\r\n\r\n" % (
                shop.token("manager"), BODY_MAX + 1)).encode()
    answer, = raw_http1(gateway.http, head)
    problem = assert_problem(answer, 413, "payload-too-large")
    assert re.fullmatch(UUID7, problem["requestId"])
    assert gateway.is_ready()


@pytest.mark.parametrize("declared", [True, False])
def test_a_larger_body_is_413_on_http2(gateway, shop, declared):
    """H4: with a content-length or found out on the way; the connection itself goes on."""
    headers = [(":method", "POST"), (":scheme", "http"), (":authority", "x"), (":path", "/v1/products"),
               ("content-type", "application/json"),
               ("authorization", "Bearer " + shop.token("manager"))]
    body = b" " * (BODY_MAX + 1)
    if declared:
        headers.append(("content-length", str(len(body))))
    answer = http2.request(gateway.http, headers, body)
    assert answer.status_code == 413, "status %d, reset %r" % (answer.status_code, answer.reset)
    assert json.loads(answer.content)["code"] == "payload-too-large"
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_url_beyond_4_kib_is_414(any_api):
    """H4"""
    path = "/v1/products?q=" + "a" * (4096 - 15)
    assert_problem(any_api.get(path), 400, "invalid-parameter")  # 4096: long, yet looked at
    assert_problem(any_api.get(path + "a"), 414, "uri-too-long")
    assert_problem(any_api.get("/" + "x" * 16000), 414, "uri-too-long")


def test_unexpected_expectations_are_417(gateway, shop):
    answer, = raw_http1(gateway.http, (
        "POST /v1/products HTTP/1.1\r\nHost: x\r\nExpect: the-unexpected\r\nContent-Length: 2\r\n"
        "Authorization: Bearer %s\r\n\r\n{}" % shop.token("manager")).encode(), timeout_s=5)
    assert_problem(answer, 417, "expectation-failed")


def test_100_continue(gateway, shop):
    """A client that waits for it gets it, then the answer."""
    body = b'{"name":"x","price":1}'
    with gateway.connect() as sock:
        sock.sendall(b"POST /v1/products HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
                     b"Content-Type: application/json\r\nConnection: close\r\nAuthorization: Bearer " +
                     shop.token("manager").encode() + b"\r\nContent-Length: %d\r\n\r\n" % len(body))
        assert sock.recv(100).startswith(b"HTTP/1.1 100 ")
        sock.sendall(body)
        assert sock.recv(100).startswith(b"HTTP/1.1 201 ")


# ---- targets --------------------------------------------------------------------------------------

TARGETS = ["//v1/me", "/v1//me", "/v1/me/", "/./v1/me", "/v1/./me", "/v1/../v1/me", "/v1/me/..", "/v1/.",
           "/v1/x/../me", "/%76%31/me", "/v1/%6de", "/v1%2fme", "/v1/me%2F", "/v1/me%00", "/v1/me%20",
           "/v1/%2e%2e/v1/me", "/v1/me;a=b", "/v1;x/me", "/v1\\me", "\\v1\\me", "/v1/me%5c",
           "/v1/me%c0%af", "/v1/me%", "/v1/m\xc3\xa9", "/v1/me|", "/v1/me\"", "/v1/<me>", "/v1/{me}",
           "/v1/me^", "/v1/me`", "/v1/me#frag", "/v1/products?q=a#b", "/v1/products?q=\xe9",
           "http://x/v1/me", "http://x", "x:80", "*", "v1/me", "?", "/v1/me\x7f"]


@pytest.mark.parametrize("target", TARGETS)
def test_a_target_that_is_not_canonical_is_400(gateway, issuer, target):
    """H6: one form before routing, so an admin's token opens nothing by another spelling."""
    request = "GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer %s\r\n\r\n"
    answer, = raw_http1(gateway.http, (request % (target, issuer.token("admin"))).encode("latin-1"))
    assert answer.status_code == 400, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] in ("invalid-target", "bad-request")


@pytest.mark.parametrize("target", [t for t in TARGETS if t.isascii() and "\x7f" not in t and t != "?"])
def test_the_same_on_http2(gateway, issuer, target):
    """H6. A :path is nothing but a target."""
    answer = http2.request(gateway.http, [
        (":method", "GET"), (":scheme", "http"), (":authority", "x"), (":path", target),
        ("authorization", "Bearer " + issuer.token("admin"))])
    assert answer.status_code == 400 or answer.reset is not None, answer.content
    assert not answer.content or json.loads(answer.content)["code"] in ("invalid-target", "bad-request")


# ---- heads that are none --------------------------------------------------------------------------

BROKEN = {"nonsense": b"GET / HTTP/1.1 nonsense\r\n\r\n", "no version": b"GET /v1/me\r\n\r\n",
          "binary": b"\x00\x01\x02\x03\r\n\r\n", "space before the colon": b"GET / HTTP/1.1\r\nHost : x\r\n\r\n",
          "no colon": b"GET / HTTP/1.1\r\nHost x\r\n\r\n", "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
          "control in a value": b"GET / HTTP/1.1\r\nHost: x\r\nA: b\x01c\r\n\r\n",
          "NUL in a value": b"GET / HTTP/1.1\r\nHost: x\r\nA: b\x00c\r\n\r\n",
          "space in the target": b"GET /v1/me x HTTP/1.1\r\nHost: x\r\n\r\n",
          "huge": b"GET / HTTP/1.1\r\nX: " + b"x" * 500000}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_head_is_400_and_the_end(gateway, name):
    """H5: a problem document too, and nothing behind it is read."""
    follower = b"GET /v1/me HTTP/1.1\r\nHost: x\r\n\r\n" if name != "huge" else b""
    answers = raw_http1(gateway.http, BROKEN[name] + follower)
    assert [a.status_code for a in answers] == [400]
    assert answers[0].headers["content-type"] == "application/problem+json"
    assert answers[0].headers["connection"] == "close"
    problem = answers[0].json()
    assert {"type", "title", "status", "code"} <= problem.keys() and problem["code"] == "bad-request"


@pytest.mark.parametrize("head", [
    "Content-Length: x", "Content-Length: -1", "Content-Length: 1, 1", "Content-Length: 99999999999999999999",
    "Transfer-Encoding: gzip", "Transfer-Encoding: chunked, gzip"])
def test_broken_framing_is_4xx_and_the_end(gateway, shop, head):
    """H5: what cannot be framed is refused; no second answer follows."""
    answers = raw_http1(gateway.http, (
        "POST /v1/products HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n%s\r\n"
        "Authorization: Bearer %s\r\n\r\n" % (head, shop.token("manager"))).encode() +
        b"GET /v1/me HTTP/1.1\r\nHost: x\r\n\r\n")
    assert len(answers) == 1
    assert_problem(answers[0])
    assert answers[0].status_code in (400, 411, 413, 501)


def test_a_wrong_chunk_is_400(gateway, shop):
    """H5"""
    answers = raw_http1(gateway.http, (
        "POST /v1/products HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        "Transfer-Encoding: chunked\r\nAuthorization: Bearer %s\r\n\r\nzz\r\n{}\r\n0\r\n\r\n" %
        shop.token("manager")).encode())
    assert [a.status_code in (400, 411) for a in answers] == [True]
    assert_problem(answers[0])


def test_pipelined_requests_are_answered_in_order(gateway, shop):
    """One answer for each head, in their order, the wrong ones among them."""
    token = "Host: x\r\nAuthorization: Bearer %s\r\n" % shop.token()
    product = shop.product()
    text = "".join("GET %s HTTP/1.1\r\nX-Request-Id: r%d\r\n%s%s\r\n" % (path, i, token, more)
                   for i, (path, more) in enumerate([
                       ("/v1/products/" + product, ""), ("/v1/me", ""), ("/nowhere", ""),
                       ("/v1/products?limit=1", ""), ("/v1//me", ""), ("/v1/me", "Connection: close\r\n")]))
    answers = raw_http1(gateway.http, text.encode())
    assert [a.status_code for a in answers] == [200, 200, 404, 200, 400, 200]
    assert [a.headers["x-request-id"] for a in answers] == ["r%d" % i for i in range(6)]


# ---- the log --------------------------------------------------------------------------------------


def test_one_line_for_every_request(gateway, shop, any_api):
    given = "log-" + uuid.uuid4().hex
    any_api.get("/v1/products/" + str(uuid.uuid4()) + "?secret=1", headers={"x-request-id": given})
    line, = eventually(lambda: gateway.accesses(requestId=given), what="the line is written")
    assert line["level"] == "info" and line["process"] == "worker" and line["worker"] in (0, 1)
    assert (line["method"], line["status"], line["route"]) == ("GET", 404, "/v1/products/{productId}")
    assert line["code"] == "not-found" and line["peer"] == "127.0.0.1" and line["bytes"] > 100
    assert line["protocol"] == ("HTTP/1.1" if any_api.protocol == "HTTP/1.1" else "HTTP/2")
    assert "secret" not in json.dumps(line) and line["durationUs"] >= 0 and line["sub"]


def test_traceparent_is_logged(gateway, api):
    trace = "00-%s-00f067aa0ba902b7-01" % uuid.uuid4().hex
    api.get("/v1/me", headers={"traceparent": trace})
    eventually(lambda: gateway.accesses(traceparent=trace), what="the line is written")
