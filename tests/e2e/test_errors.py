# SPDX-License-Identifier: Apache-2.0
"""What is answered to requests that are wrong: always a problem document, never a handler's work."""

import json
import re
import uuid

import pytest

from kit import http2
from kit.clients import PROTOCOLS, Api, Connection, assert_problem, raw_http1
from kit.processes import BINARY, eventually, patient, run
from kit.rawhttp import Raw, exchange, split

BODY_MAX = 1024 * 1024
UUID7 = r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"


@pytest.fixture(params=PROTOCOLS)
def any_api(request, gateway, shop, certificate):
    """A manager over each protocol in turn."""
    with Api(gateway, shop.token("manager"), request.param, ca=certificate[0]) as api:
        api.gateway, api.ca = gateway, certificate[0]
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
    ("GET", "/v1/transactions/batch", "POST, OPTIONS"), ("TRACE", "/v1/me", "GET, HEAD, OPTIONS"),
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
    head = any_api.request("HEAD", "/v1/transactions/batch")
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


@pytest.mark.heavy
def test_json_bombs_cost_little(gateway, manager):
    """B5: 64 KiB of any shape is answered 4xx, and all of them within a second or two."""
    for text in (b'{"name":"' + b"\\u0041" * 10900 + b'"}', b"[" + b"1," * 32000 + b"1]",
                 b'{"price":' + b"9" * 65000 + b"}", b'{"price":1' + b"0" * 65000 + b"e-65000}",
                 b"{" + b",".join(b'"%d":0' % i for i in range(6000)) + b"}",
                 b'{"price":1e' + b"9" * 65000 + b"}"):
        answer = post(manager, text)
        assert 400 <= answer.status_code < 500
        assert answer.elapsed.total_seconds() < patient(1)


# ---- sizes ----------------------------------------------------------------------------------------


def test_the_largest_body_is_taken(any_api):
    text = b'{"name":"x"' + b" " * (BODY_MAX - 12) + b"}"
    assert len(text) == BODY_MAX
    assert_problem(post(any_api, text), 422, "validation-failed")


def test_the_largest_body_there_may_be_arrives(start, shop):
    """Of http.body_max's own limit; under seccomp, by which no file can be made for it."""
    gateway = start(workers=1, http={"body_max": "64MiB"})
    with Api(gateway, shop.token("manager"), timeout_s=60) as api:
        assert_problem(api.request("POST", "/v1/products", content=b"[" + b" " * ((64 << 20) - 2) + b"]",
                                   headers={"content-type": "application/json"}), 422, "validation-failed")


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


# ---- Expect (RFC 9110 10.1.1) ---------------------------------------------------------------------

NEW = b'{"name":"x","price":1}'


def asking(token, fields=b"", length=len(NEW), version=b"1.1", path=b"/v1/products"):
    return (b"POST %s HTTP/%s\r\nHost: x\r\nContent-Type: application/json\r\nExpect: 100-continue\r\n%s"
            b"Authorization: Bearer %s\r\nContent-Length: %d\r\n\r\n" % (path, version, fields, token.encode(), length))


@pytest.mark.parametrize("fields", [
    b"Expect: the-unexpected\r\n", b"Expect: 100-continue, x\r\n", b"Expect:\r\n",
    b"Expect: 100-continue\r\nExpect: 100-continue\r\n", b"Expect: x\r\nExpect: 100-continue\r\n"])
@pytest.mark.parametrize("body", [b"", b"Content-Length: 2\r\n\r\n{}"])
def test_unexpected_expectations_are_417(gateway, shop, fields, body):
    answers, ended = exchange(gateway, b"POST /v1/products HTTP/1.1\r\nHost: x\r\n" + fields +
                              b"Authorization: Bearer " + shop.token("manager").encode() + b"\r\n" + (body or b"\r\n"))
    assert [a.status_code for a in answers] == [417] and ended
    assert_problem(answers[0], 417, "expectation-failed")


@pytest.mark.parametrize("over", ["clear", "TLS"])
@pytest.mark.parametrize("chunked", [False, True])
def test_100_continue(gateway, shop, over, chunked):
    """A client that waits for it gets it, then the answer; and the connection goes on."""
    head, body = asking(shop.token("manager")), NEW
    if chunked:
        head = head.replace(b"Content-Length: 22", b"Transfer-Encoding: chunked")
        body = b"16\r\n" + NEW + b"\r\n0\r\n\r\n"
    with Raw(gateway, over) as raw:
        for _ in range(2):
            raw.send(head)
            assert raw.rest(until=b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            raw.send(body)
            assert raw.rest(until=b'"productId"').startswith(b"HTTP/1.1 201 ")


def test_100_continue_is_for_those_who_wait(gateway, shop):
    """Not for HTTP/1.0, not when the body is there already, not when there is none."""
    token = shop.token("manager")
    for request, statuses in ((asking(token, version=b"1.0") + NEW, [201]),
                              (asking(token, b"Connection: close\r\n") + NEW, [201]),
                              (asking(token, b"Connection: close\r\n", 0), [400])):
        answers, _ = exchange(gateway, request)
        assert [a.status_code for a in answers] == statuses


def test_no_100_before_a_final_answer(gateway, shop):
    """What the head decides is said at once: nobody uploads for a refusal. Then the connection ends."""
    token = shop.token("manager")
    for request, status in ((asking("x.y.z"), 401), (asking(shop.token("cashier")), 403),
                            (asking(token, length=BODY_MAX + 1), 413), (asking(token, path=b"/v1/nowhere"), 404),
                            (asking(token, path=b"/v1/me"), 405), (asking(token, path=b"/v1//me"), 400),
                            (asking(token, b"Content-Length: 22\r\n"), 400)):
        answers, ended = exchange(gateway, request)
        assert [a.status_code for a in answers] == [status] and ended
        assert_problem(answers[0], status)


def test_a_body_that_was_asked_for_and_does_not_come(start, shop):
    """H3: the waiting is bounded; the request is counted and logged once."""
    gateway = start(http={"request_timeout": "1s"})
    with Raw(gateway) as raw:
        raw.send(asking(shop.token("manager"), b"X-Request-Id: late\r\n"))
        assert raw.rest(until=b"\r\n\r\n").startswith(b"HTTP/1.1 100 ")
        answer, = split(raw.rest())
    assert_problem(answer, 408, "request-timeout")
    line, = eventually(lambda: gateway.accesses(requestId="late"), what="the line is written")
    assert line["status"] == 408 and line["principal"]
    eventually(lambda: gateway.metrics()["tillway_requests_in_flight"] == 0)


# ---- targets --------------------------------------------------------------------------------------

TARGETS = ["//v1/me", "/v1//me", "/v1/me/", "/./v1/me", "/v1/./me", "/v1/../v1/me", "/v1/me/..", "/v1/.",
           "/v1/x/../me", "/%76%31/me", "/v1/%6de", "/v1%2fme", "/v1/me%2F", "/v1/me%00", "/v1/me%20",
           "/v1/%2e%2e/v1/me", "/v1/me;a=b", "/v1;x/me", "/v1\\me", "\\v1\\me", "/v1/me%5c",
           "/v1/me%c0%af", "/v1/me%", "/v1/m\xc3\xa9", "/v1/me|", "/v1/me\"", "/v1/<me>", "/v1/{me}",
           "/v1/me^", "/v1/me`", "/v1/me#frag", "/v1/products?q=a#b", "/v1/products?q=\xe9",
           "http://x/v1/me", "http://x", "x:80", "*", "v1/me", "?", "/v1/me\x7f", "/v1/me\x80", "/v1/me%c1%9c",
           "/v1/me%e0%80%af", "/v1/me\xc0\xaf", "/v1/%252e%252e/me", "/..;/v1/me", "/v1/me/..;/me", "/v1%5cme",
           "///", "/v1/me//", "https://x/v1/me", "HTTP://x/v1/me", "/v1/me%0d%0a", "/v1/me%", "/v1/me%zz",
           "/[v1]/me", "/v1/me%u002f"]


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
          "space in the target": b"GET /v1/me x HTTP/1.1\r\nHost: x\r\n\r\n"}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_head_is_400_and_the_end(gateway, name):
    """H5: a problem document too, and nothing behind it is read."""
    answers = raw_http1(gateway.http, BROKEN[name] + b"GET /v1/me HTTP/1.1\r\nHost: x\r\n\r\n")
    assert [a.status_code for a in answers] == [400]
    assert answers[0].headers["content-type"] == "application/problem+json"
    assert answers[0].headers["connection"] == "close"
    assert_problem(answers[0], 400, "bad-request")


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
    assert "secret" not in json.dumps(line) and line["durationUs"] >= 0 and line["principal"]


# ---- every route ----------------------------------------------------------------------------------

ID = "0198c0de-0000-7000-8000-000000000000"
TRICKS = {
    "as it is": lambda p: p, "//": lambda p: "/" + p, "trailing /": lambda p: p + "/", "trailing //": lambda p: p + "//",
    "// inside": lambda p: p[:3] + "/" + p[3:], "/./": lambda p: "/." + p, "/. behind": lambda p: p + "/.",
    "/../": lambda p: "/x/.." + p, "/.. behind": lambda p: p + "/x/..", "%2e": lambda p: "/%2e" + p,
    "%2e%2e": lambda p: "/x/%2E%2e" + p, "%252e": lambda p: "/x/%252e%252e" + p, "%2f": lambda p: "/" + p[1:].replace("/", "%2f"),
    "%2F behind": lambda p: p + "%2F", "%5c": lambda p: p + "%5c", "encoded letter": lambda p: p[:1] + "%%%02x" % ord(p[1]) + p[2:],
    "backslashes": lambda p: p.replace("/", "\\"), "\\ behind": lambda p: p + "\\", "..\\": lambda p: "/x\\..\\" + p,
    "%00": lambda p: p + "%00", "%00.json": lambda p: p + "%00.json", "raw NUL": lambda p: p + "\0", "DEL": lambda p: p + "\x7f",
    ";": lambda p: p + ";", ";a=b": lambda p: p + ";a=b", "; inside": lambda p: p[:3] + ";x" + p[3:], "/..;": lambda p: "/..;" + p,
    "overlong /": lambda p: p + "\xc0\xaf", "overlong %c0%af": lambda p: "/x" + "%c0%af" + p[1:],
    "overlong .": lambda p: "/x/%c0%ae%c0%ae" + p, "fullwidth": lambda p: p.replace("v", "\xef\xbd\x96"),
    "absolute-form": lambda p: "http://x" + p, "absolute-form https": lambda p: "https://x" + p,
    "absolute without authority": lambda p: "http:" + p, "userinfo": lambda p: "http://x@y" + p, "authority": lambda p: "x:80",
    "asterisk": lambda p: "*", "no /": lambda p: p[1:], "upper case": str.upper, "suffix": lambda p: p + ".json",
    "#": lambda p: p + "#x", "# first": lambda p: "/#" + p, "?": lambda p: p + "?", "query": lambda p: p + "?access_token=x&token=x",
    "? first": lambda p: "/?" + p, "%20": lambda p: p + "%20", "%09": lambda p: p + "%09", "trailing .": lambda p: p + ".",
    "%3f": lambda p: p + "%3f", "%23": lambda p: p + "%23", "%": lambda p: p + "%", "%u": lambda p: p + "%u002f",
}
CANONICAL = {"as it is", "?", "query", "suffix", "trailing ."}  # another id, to a route that has one
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "get", "Post", "PROPFIND",
           "QUERY", "__method__")
OVERRIDES = ("X-HTTP-Method-Override: GET\r\nX-Original-URL: /livez\r\nX-Rewrite-URL: /livez\r\n"
             "X-Forwarded-User: admin\r\nX-Remote-User: admin\r\nX-Forwarded-Prefix: /\r\n")


def routes():
    """[(method, path, role)] of THE table, with ids for its parameters."""
    lines = run([BINARY, "routes"]).stdout.splitlines()
    return [(method, re.sub(r"\{[^}]*\}", ID, path), role) for method, path, role in map(str.split, lines)]


@pytest.mark.parametrize("trick", TRICKS)
def test_no_route_opens_without_a_token(gateway, trick):
    """H6 (issue 4, Show 3): every path of the table, spelled in this way, by every method: no 2xx but
    the 204 by which OPTIONS of a route tells its methods, and no 5xx."""
    opened, known = [], routes()
    assert len(known) >= 6
    public = {(method, path) for method, path, role in known if role == "public"}
    for path in sorted({path for _, path, _ in known}):
        for method in METHODS:
            target = TRICKS[trick](path)
            answers, _ = exchange(gateway, ("%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%s\r\n" % (
                method, target, OVERRIDES)).encode("latin-1"), methods=[method])
            statuses = [a.status_code for a in answers]
            told = method == "OPTIONS" and statuses == [204] and trick in CANONICAL
            if not told and (method, path) not in public and not (len(statuses) == 1 and 400 <= statuses[0] < 500):
                opened.append((method, target, statuses))
    assert not opened


def test_head_is_get_on_every_route(any_api, shop):
    """The same head, Content-Length included, and no body; by every GET of the table."""
    product = shop.product()
    with Api(any_api.gateway, shop.token("cashier")) as till:
        sale = till.sell(shop.basket(product)).json()["transactionId"]
    ids = {"{productId}": product, "{transactionId}": sale}
    lines = [line.split() for line in run([BINARY, "routes"]).stdout.splitlines()]
    for method, path, _ in lines:
        if method != "GET":
            continue
        for name, value in ids.items():
            path = path.replace(name, value)
        with Api(any_api.gateway, shop.token("manager"), any_api.protocol, ca=any_api.ca) as reader:
            plain = {"accept-encoding": "identity"}
            get, head = reader.get(path, headers=plain), reader.request("HEAD", path, headers=plain)
        assert get.status_code == head.status_code and head.content == b"", path
        different = {"date", "x-request-id", "server-timing", "ratelimit", "cache-status"}
        assert {k: v for k, v in get.headers.items() if k not in different} == {
            k: v for k, v in head.headers.items() if k not in different}, path
        assert int(head.headers["content-length"]) == len(get.content) > 0
