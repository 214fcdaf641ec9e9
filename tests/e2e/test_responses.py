# SPDX-License-Identifier: Apache-2.0
"""What leaves the gateway: the head of every answer, who may keep it, in which form it is sent, and
what a request must be for it."""

import gzip
import json
import re
import uuid

import pytest

from kit import http2
from kit.clients import PROTOCOLS, Api, RawAnswer, assert_problem, raw_http1
from kit.processes import BINARY, run

ORIGIN = "https://till.example.com"
HARD = {"x-content-type-options": "nosniff",
        "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
        "referrer-policy": "no-referrer", "cross-origin-resource-policy": "same-origin"}
YEAR = "max-age=31536000"
BODY_MAX = 1024 * 1024
KEPT, PUBLIC, NEVER = "private, no-cache", "no-cache", "no-store"
# The rows whose answers may be kept; every other one is personal.
KEPT_ROUTES = {("GET", "/v1/products"), ("GET", "/v1/products/{productId}"),
               ("GET", "/v1/products/lookup"), ("GET", "/v1/inventory/{productId}")}


def words(answer, name):
    return [word.strip().lower() for word in answer.headers.get(name, "").split(",") if word.strip()]


def table():
    """[(method, pattern)] of THE table."""
    rows = [tuple(line.split()[:2]) for line in run([BINARY, "routes"]).stdout.splitlines()]
    assert len(rows) >= 6 and KEPT_ROUTES <= set(rows)
    return rows


def sample(pattern):
    return re.sub(r"\{\w+\}", str(uuid.uuid4()), pattern)


def assert_hard(answer, tls=False):
    """Each once, and no more told of the program than its name."""
    for name, value in HARD.items():
        assert answer.headers.get(name) == value, (name, answer.headers)
    assert answer.headers.get("strict-transport-security") == (YEAR if tls else None)
    assert answer.headers["server"] == "tillway"
    assert answer.headers["cache-control"] in (KEPT, PUBLIC, NEVER)
    if answer.status_code not in (200, 304):
        assert answer.headers["cache-control"] == NEVER, answer.status_code


# Kept by nobody; their tag is for If-Match.
GUARDED = {"/v1/customers/{customerId}", "/v1/orders/{orderId}"}
WRITING = ("POST", "PUT", "PATCH")


@pytest.fixture(params=PROTOCOLS)
def any_api(request, gateway, shop, certificate):
    """A manager over each protocol in turn."""
    with Api(gateway, shop.token("manager"), request.param, ca=certificate[0]) as api:
        yield api


def is_tls(api):
    return api.protocol.endswith("TLS")


@pytest.fixture
def readable(shop, api):
    """{pattern: path} of something that is there for every GET of the table."""
    bread = shop.product(stock=10)
    sale = api.sell(shop.basket(bread))
    return {"/v1/products": "/v1/products?limit=20",
            "/v1/products/lookup": "/v1/products/lookup?code=BEV-0001",
            "/v1/products/{productId}": "/v1/products/" + bread,
            "/v1/transactions": "/v1/transactions?limit=20",
            "/v1/transactions/{transactionId}": sale.headers["location"],
            "/v1/inventory": "/v1/inventory?limit=20",
            "/v1/inventory/{productId}": "/v1/inventory/" + bread,
            "/v1/orders": "/v1/orders?limit=20",
            "/v1/audit": "/v1/audit?limit=20",
            "/v1/orders/{orderId}": api.post("/v1/orders", json={"items": sale.json()["items"]})
                                       .headers["location"],
            "/v1/customers": "/v1/customers?limit=20",
            "/v1/customers/{customerId}": api.post("/v1/customers", json={"name": "Ada"})
                                             .headers["location"], "/v1/me": "/v1/me"}


def reads(readable):
    """(pattern, path) of every GET of the table. A new route without a sample fails here."""
    return [(pattern, readable[pattern]) for method, pattern in table() if method == "GET"]


def fetch(api, path, method="GET", token="", **headers):
    """The answer with its body as it was sent, content codings and all."""
    headers = {"authorization": "Bearer " + api.token, "accept-encoding": "identity",
               **{name.replace("_", "-"): value for name, value in headers.items()}}
    if token is None:
        del headers["authorization"]
    with api._client.stream(method, path, headers=headers) as answer:
        return RawAnswer(answer.status_code, answer.headers, b"".join(answer.iter_raw()))


# ---- every answer's head ---------------------------------------------------------------------------


def test_every_route_is_hard(any_api):
    """Whatever a route answers: to a manager, to nobody, to a bad token, to a wrong method."""
    seen = set()
    for method, pattern in table():
        for asked in (method, "HEAD" if method == "GET" else method, "OPTIONS", "TRACE"):
            for token in ("", None, "x.y.z"):
                answer = any_api.request(asked, sample(pattern), token=token,
                                         json={} if asked in WRITING else None)
                assert_hard(answer, is_tls(any_api))
                seen.add(answer.status_code)
    assert seen == {200, 204, 400, 401, 404, 405, 422}  # 400: a body where there is none


@pytest.mark.parametrize("path, status", [("/nowhere", 404), ("/v1//me", 400), ("/" + "x" * 5000, 414),
                                          ("/v1/products?limit=x", 400)])
def test_other_errors_are_hard(any_api, path, status):
    answer = any_api.get(path)
    assert answer.status_code == status
    assert_hard(answer, is_tls(any_api))


def test_what_is_read_and_written_is_hard(any_api, shop, readable):
    for pattern, path in reads(readable):
        answer = any_api.get(path)
        assert answer.status_code == 200, pattern
        assert_hard(answer, is_tls(any_api))
    for answer, status in ((any_api.sell(shop.basket(shop.product())), 201),
                           (any_api.post("/v1/products", json={"name": "x", "price": 1}), 201),
                           (any_api.get("/v1/products/" + shop.product(), headers={"if-none-match": "*"}), 304)):
        assert answer.status_code == status
        assert_hard(answer, is_tls(any_api))


def test_the_librarys_answers_are_hard(gateway, shop):
    """413, 417 and 400 that h2o makes by itself pass through our filter."""
    head = ("POST /v1/products HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            "Authorization: Bearer %s\r\n" % shop.token("manager"))
    for more, status in (("Content-Length: %d\r\n\r\n" % (BODY_MAX + 1), 413),
                         ("Expect: the-unexpected\r\nContent-Length: 2\r\n\r\n{}", 417),
                         ("Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400)):
        answer, = raw_http1(gateway.http, (head + more).encode(), timeout_s=5)
        assert answer.status_code in (status, 411)
        assert_hard(answer)
    answer = http2.request(gateway.http, [
        (":method", "POST"), (":scheme", "http"), (":authority", "x"), (":path", "/v1/products"),
        ("content-type", "application/json"), ("authorization", "Bearer " + shop.token("manager"))],
        b" " * (BODY_MAX + 1))
    assert answer.status_code == 413
    assert_hard(answer)


def test_no_line_comes_twice(any_api, readable):
    """One Cache-Control, one Vary, one of each: what a client makes of two is its own affair."""
    for _, path in reads(readable):
        names = [name.lower() for name, _ in any_api.get(path).headers.raw]
        assert len(names) == len(set(names)), names


def test_a_scheme_that_is_only_claimed_is_no_tls(gateway):
    """RFC 6797 §7.2: not over plain HTTP, even if the request says https."""
    answer = http2.request(gateway.http, [
        (":method", "GET"), (":scheme", "https"), (":authority", "x"), (":path", "/nowhere")])
    assert answer.status_code == 404 and "strict-transport-security" not in answer.headers


@pytest.mark.parametrize("protocol", ["HTTP/1.1 over TLS", "h2 over TLS"])
@pytest.mark.parametrize("value, wanted", [("0s", None), ("10m", "max-age=600"), ("17520h", "max-age=63072000")])
def test_hsts_as_configured(start, certificate, protocol, value, wanted):
    gateway = start(http={"hsts": value})
    with Api(gateway, protocol=protocol, ca=certificate[0]) as api:
        assert api.get("/nowhere").headers.get("strict-transport-security") == wanted


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_without_a_server_header(start, certificate, protocol):
    gateway = start(http={"server_header": False})
    with Api(gateway, protocol=protocol, ca=certificate[0]) as api:
        answer = api.get("/nowhere")
    assert "server" not in answer.headers and answer.headers["date"]


# ---- who may keep it -------------------------------------------------------------------------------


def test_every_route_says_who_may_keep_it(any_api, readable):
    """What is personal nobody; the catalogue whoever asks again, for which it has a tag."""
    for pattern, path in reads(readable):
        for method in ("GET", "HEAD"):
            answer = any_api.request(method, path)
            kept = ("GET", pattern) in KEPT_ROUTES
            assert answer.status_code == 200
            assert answer.headers["cache-control"] == (KEPT if kept else NEVER), pattern
            assert ("etag" in answer.headers) == (kept or pattern in GUARDED), pattern
            assert ("authorization" in words(answer, "vary")) == kept, pattern


def test_writes_are_kept_by_nobody(any_api, shop):
    answer = any_api.post("/v1/products", json={"name": "x", "price": 1})
    assert (answer.status_code, answer.headers["cache-control"]) == (201, NEVER)
    body, key = shop.basket(shop.product()), str(uuid.uuid4())
    for _ in range(2):  # made, and told again
        answer = any_api.sell(body, key=key)
        assert (answer.status_code, answer.headers["cache-control"]) == (201, NEVER)


def test_304_says_what_200_says(any_api, readable):
    """RFC 9110 §15.4.5"""
    for pattern, path in reads(readable):
        if ("GET", pattern) in KEPT_ROUTES:
            for coding in ("identity", "gzip"):
                first = fetch(any_api, path, accept_encoding=coding)
                again = fetch(any_api, path, accept_encoding=coding, if_none_match=first.headers["etag"])
                assert (first.status_code, again.status_code, again.content) == (200, 304, b"")
                for name in ("etag", "cache-control", "vary"):
                    assert again.headers[name] == first.headers[name], (pattern, name)
                assert not {"content-length", "content-type", "content-encoding"} & again.headers.keys()


def test_a_page_of_the_list_has_a_tag(any_api, shop, database):
    """It changes with any product of the page, and with the page."""
    category = uuid.uuid4().hex
    product, _ = shop.product(category=category), shop.product(category=category)
    path = "/v1/products?category=" + category
    first = any_api.get(path)
    assert re.fullmatch(r'"[0-9a-f]{32}"', first.headers["etag"])
    assert any_api.get(path).headers["etag"] == first.headers["etag"]
    assert any_api.get(path, headers={"if-none-match": first.headers["etag"]}).status_code == 304
    assert any_api.request("HEAD", path, headers={"if-none-match": first.headers["etag"]}).status_code == 304
    assert any_api.get(path + "&limit=1").headers["etag"] != first.headers["etag"]
    database.rows("UPDATE products SET price_minor = price_minor + 1, version = version + 1"
                  " WHERE product_id = %s", uuid.UUID(product))
    later = any_api.get(path, headers={"if-none-match": first.headers["etag"]})
    assert later.status_code == 200 and later.headers["etag"] != first.headers["etag"]


@pytest.fixture
def open_catalogue(start):
    """Products without a token, for pages of one origin."""
    return start(cors={"origins": [ORIGIN]}, auth={"routes": [
        {"route": "GET /v1/products", "roles": ["public"]},
        {"route": "GET /v1/products/{productId}", "roles": ["public"]}]})


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_public_route(open_catalogue, shop, certificate, protocol):
    """The same for everybody, so a shared cache may have it; asked again all the same."""
    path = "/v1/products/" + shop.product()
    with Api(open_catalogue, None, protocol, ca=certificate[0]) as api:
        for one in (path, "/v1/products?limit=2"):
            answer = api.get(one)
            assert (answer.status_code, answer.headers["cache-control"]) == (200, PUBLIC)
            assert words(answer, "vary") == ["accept-encoding", "origin"]
            assert api.get(one, headers={"if-none-match": answer.headers["etag"]}).status_code == 304
        assert api.get("/v1/products?limit=x").headers["cache-control"] == NEVER
        assert api.get("/v1/me").headers["cache-control"] == NEVER


def test_vary_is_one_list(open_catalogue, shop):
    """What decides, merged with CORS; Authorization where a token decides."""
    with Api(open_catalogue, shop.token()) as api:
        assert words(api.get("/v1/me"), "vary") == ["accept-encoding", "origin"]
        assert words(api.get("/nowhere"), "vary") == ["origin"]
        asked = api.request("OPTIONS", "/v1/me", headers={
            "origin": ORIGIN, "access-control-request-method": "GET"})
        assert words(asked, "vary") == ["origin", "access-control-request-method",
                                        "access-control-request-headers"]


@pytest.mark.parametrize("changes, wanted", [
    ({}, ["authorization", "accept-encoding"]),
    ({"cors": {"origins": ["*"]}}, ["authorization", "accept-encoding"]),
    ({"cors": {"origins": [ORIGIN]}}, ["authorization", "accept-encoding", "origin"]),
    ({"http": {"gzip_min": "0"}}, ["authorization"]),
    ({"http": {"gzip_min": "0"}, "cors": {"origins": [ORIGIN]}}, ["authorization", "origin"])])
def test_vary_as_configured(start, shop, changes, wanted):
    gateway = start(**changes)
    with Api(gateway, shop.token()) as api:
        answers = [api.get("/v1/products/" + shop.product(), headers=headers)
                   for headers in ({}, {"if-none-match": "*"}, {"accept-encoding": "identity"})]
        assert [a.status_code for a in answers] == [200, 304, 200]
        assert [words(a, "vary") for a in answers] == [wanted] * 3


# ---- what a request brings -------------------------------------------------------------------------

GOOD = b'{"name":"x","price":1}'


def post(api, content, **headers):
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    return api.request("POST", "/v1/products", content=content, headers=headers)


@pytest.mark.parametrize("kind", [
    None, "", "text/plain", "text/json", "application/jsonx", "application/merge-patch+json", "application/*",
    "*/*", "application", "json", "application/json, application/json", "application/json charset=utf-8",
    "application/json; charset", "application/json; charset=latin1", "application/json; charset=utf-16",
    "application/json; charset=us-ascii", 'application/json; charset="utf-8',
    "application/json;charset=utf-8;charset=x", "application/json; a=b c"])
def test_other_content_types_are_415(any_api, kind):
    """RFC 9110 §15.5.16: the answer's Accept says what is taken."""
    answer = post(any_api, GOOD, **({} if kind is None else {"content_type": kind}))
    assert_problem(answer, 415, "unsupported-media-type")
    assert answer.headers["accept"] == "application/json" and "accept-encoding" not in answer.headers


@pytest.mark.parametrize("kind", [
    "application/json", "APPLICATION/Json", "application/json;", "application/json; charset=UTF-8",
    'application/json;charset="utf-8"', "application/json ; odata=x;CHARSET=utf-8",
    'application/json; a="b,\\";c"'])
def test_json_in_utf_8_is_taken(any_api, kind):
    assert post(any_api, GOOD, content_type=kind).status_code == 201


def test_two_content_types_are_415(gateway, shop):
    head = ("POST /v1/products HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer %s\r\n"
            "Content-Length: %d\r\nContent-Type: application/json\r\n" % (shop.token("manager"), len(GOOD)))
    answer, = raw_http1(gateway.http, head.encode() + b"Content-Type: text/plain\r\n\r\n" + GOOD)
    assert_problem(answer, 415, "unsupported-media-type")
    answer, = raw_http1(gateway.http, head.encode() + b"\r\n" + GOOD)
    assert answer.status_code == 201


@pytest.mark.parametrize("coding", ["gzip", "br", "identity, gzip", "gzip, identity", "x", "*", ";"])
def test_content_codings_are_415(any_api, coding):
    """§12.5.3: the answer's Accept-Encoding says so."""
    answer = post(any_api, gzip.compress(GOOD), content_type="application/json", content_encoding=coding)
    assert_problem(answer, 415, "unsupported-media-type")
    assert answer.headers["accept-encoding"] == "identity" and "accept" not in answer.headers


@pytest.mark.parametrize("coding", ["identity", "Identity", "", "identity,identity"])
def test_identity_is_taken(any_api, coding):
    assert post(any_api, GOOD, content_type="application/json", content_encoding=coding).status_code == 201


def test_a_body_where_none_is_read_is_400(any_api, readable):
    """RFC 9110 §9.3.1. The connection stays in step; a type without a body is nothing."""
    for _, path in reads(readable):
        for method in ("GET", "HEAD"):
            answer = any_api.request(method, path, content=b"{}", headers={"content-type": "application/json"})
            assert answer.status_code == 400
            if method == "GET":
                assert_problem(answer, 400, "body-unexpected")
            assert any_api.request(method, path, headers={"content-type": "text/plain"}).status_code == 200


def test_a_body_that_is_needed(any_api):
    for method, pattern in table():
        if method == "POST" and not pattern.endswith(("/void", "/cancel")):  # their path says it all
            for kind in ("application/json", "text/plain"):
                answer = any_api.request(method, sample(pattern), content=b"", key="k",
                                         headers={"content-type": kind})
                assert_problem(answer, 400, "body-missing")


def test_who_may_not_is_told_nothing_of_forms(any_api, shop):
    """401 and 403 come before 400, 406 and 415."""
    wrong = {"accept": "text/html", "content-type": "text/plain"}
    for token, status in ((None, 401), (shop.token("cashier"), 403)):
        answer = any_api.request("POST", "/v1/products", content=b"x", token=token, headers=wrong)
        assert answer.status_code == status


# ---- what a client takes ---------------------------------------------------------------------------


@pytest.mark.parametrize("accept", [
    "text/html", "text/html, application/xml;q=0.9", "application/json;q=0", "application/json;q=0.000, */*",
    "application/*;q=0, */*;q=0.1", "*/*;q=0", "application/problem+json", "application/vnd.api+json", "text/*"])
def test_what_excludes_json_is_406(any_api, shop, readable, accept):
    """For every route, before anything is done; told as a problem all the same."""
    for _, path in reads(readable):
        assert_problem(any_api.get(path, headers={"accept": accept}), 406, "not-acceptable")
    before = shop.sales()
    answer = any_api.sell(shop.basket(shop.product()), headers={"accept": accept})
    assert_problem(answer, 406, "not-acceptable")
    assert shop.sales() == before
    assert any_api.get("/nowhere", headers={"accept": accept}).status_code == 404


@pytest.mark.parametrize("accept", [
    "*/*", "application/*", "application/json", "Application/JSON", "text/html, */*;q=0.1",
    "application/json;q=0.001", "application/*;q=0, application/json", "application/json; charset=utf-8", "",
    "text/html, application/json;v=1;q=.5",
    "text/html, image/gif, *; q=.2, */*; q=.2", "text/html;q=x", "html", "text/html;", 'text/html;a="', ",,"])
def test_what_takes_json_or_is_no_list_is_answered(any_api, accept):
    """What is not well-formed says nothing. ("text/html;" is, and takes no JSON.)"""
    status = 406 if accept == "text/html;" else 200
    assert any_api.get("/v1/me", headers={"accept": accept}).status_code == status


def test_several_lines_are_one_list(any_api):
    for lines, status in ((["text/html", "application/json"], 200), (["application/json;q=0", "*/*"], 406)):
        answer = any_api._client.get("/v1/me", headers=[
            ("authorization", "Bearer " + any_api.token), *(("accept", line) for line in lines)])
        assert answer.status_code == status, lines


# ---- gzip ------------------------------------------------------------------------------------------


def test_gzip_is_the_same_text(any_api, readable):
    path = readable["/v1/products"]
    plain, packed = fetch(any_api, path), fetch(any_api, path, accept_encoding="gzip")
    assert "content-encoding" not in plain.headers and packed.headers["content-encoding"] == "gzip"
    assert gzip.decompress(packed.content) == plain.content and len(packed.content) < len(plain.content) // 2
    for answer in (plain, packed):
        assert int(answer.headers["content-length"]) == len(answer.content)
        assert "transfer-encoding" not in answer.headers
        assert "accept-encoding" in words(answer, "vary")
        assert answer.headers["content-type"] == "application/json"


def test_each_coding_has_its_tag(any_api, readable):
    """RFC 9110 §8.8.3.3. A tag is known again, by whoever can read what it stands for."""
    path = readable["/v1/products"]
    plain, packed = (fetch(any_api, path, accept_encoding=coding).headers["etag"]
                     for coding in ("identity", "gzip"))
    assert packed == plain[:-1] + '-gzip"' and plain != packed
    for coding, tag, status in (("gzip", plain, 304), ("gzip", packed, 304), ("identity", plain, 304),
                                ("identity", packed, 200), ("gzip", '"x-gzip"', 200)):
        for sent in (tag, "W/" + tag, '"0", ' + tag):
            answer = fetch(any_api, path, accept_encoding=coding, if_none_match=sent)
            assert answer.status_code == status, (coding, sent)
            if status == 304:
                assert answer.headers["etag"] == tag  # of the copy that the client has


@pytest.mark.parametrize("accept, taken", [
    ("gzip", True), ("GZIP", True), ("x-gzip", True), ("deflate, gzip;q=0.5", True), ("*", True),
    ("br, *;q=0.1", True),
    ("gzip, deflate, br, zstd", True), ("gzip;q=1.0, identity;q=0.5", True), ("identity;q=0, *", True),
    ("", False), ("gzip;q=0", False), ("gzip;q=0.000", False), ("*, gzip;q=0", False), ("br", False),
    ("gzipx", False), ("identity, gzip;q=0.5", False), ("gzip;q=2", False), ("gzip/1", False), ("*;q=0", False),
    ("identity", False)])
def test_who_takes_gzip(any_api, readable, accept, taken):
    answer = fetch(any_api, readable["/v1/products"], accept_encoding=accept)
    assert answer.status_code == 200
    assert (answer.headers.get("content-encoding") == "gzip") == taken
    assert json.loads(gzip.decompress(answer.content) if taken else answer.content)["items"]


def test_what_is_small_or_a_problem_is_sent_as_it_is(any_api):
    answer = fetch(any_api, "/v1/me", accept_encoding="gzip")
    assert answer.status_code == 200 and "content-encoding" not in answer.headers
    body = {"name": "x", "price": 1, **{"unknown-%d" % i: 1 for i in range(40)}}
    answer = any_api.post("/v1/products", json=body, headers={"accept-encoding": "gzip"})
    assert answer.status_code == 422 and len(answer.content) > 2048
    assert "content-encoding" not in answer.headers


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_size_is_an_option(start, shop, certificate, protocol):
    with Api(start(http={"gzip_min": "0"}), shop.token(), protocol, ca=certificate[0]) as api:
        answer = fetch(api, "/v1/products", accept_encoding="gzip")
        assert answer.status_code == 200 and "content-encoding" not in answer.headers
        size = len(answer.content)
    for least, packed in ((size, True), (size + 1, False)):
        with Api(start(http={"gzip_min": str(least)}), shop.token(), protocol, ca=certificate[0]) as api:
            answer = fetch(api, "/v1/products", accept_encoding="gzip")
            assert ("content-encoding" in answer.headers) == packed


def test_what_gzip_does_not_shrink_is_sent_as_it_is(start, shop):
    """A body of a few hundred bytes, of which a UUID and a subject are most."""
    gateway = start(http={"gzip_min": "1"})
    with Api(gateway, shop.token()) as api:
        small, page = (fetch(api, path, accept_encoding="gzip")
                       for path in ("/v1/products?category=" + uuid.uuid4().hex, "/v1/products"))
    assert small.content == b'{"items":[],"next":null}' and "content-encoding" not in small.headers
    assert page.headers["content-encoding"] == "gzip"


def test_a_written_answer_is_packed_too(any_api, shop):
    """And the compressor carries nothing over from one answer to the next."""
    product, key = shop.product(), str(uuid.uuid4())
    body = {"items": [{"productId": product, "quantity": 1}] * 20, "paymentMethod": "card"}
    sales = [any_api.sell(body, key=key, headers={"accept-encoding": coding})
             for coding in ("gzip", "identity", "gzip")]
    assert [a.status_code for a in sales] == [201] * 3
    assert [a.headers.get("content-encoding") for a in sales] == ["gzip", None, "gzip"]
    assert sales[0].json() == sales[1].json() == sales[2].json() and len(sales[0].json()["items"]) == 20


@pytest.mark.heavy
def test_the_longest_page(any_api):
    plain, packed = (fetch(any_api, "/v1/products?limit=500", accept_encoding=c) for c in ("identity", "gzip"))
    assert gzip.decompress(packed.content) == plain.content and len(plain.content) > 30000


# ---- HEAD ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("coding", ["identity", "gzip"])
def test_head_is_get_but_for_the_body(any_api, readable, coding):
    """RFC 9110 §9.3.2: the very same head, of what is there and of what is not."""
    given = "head-" + uuid.uuid4().hex
    for _, path in [*reads(readable), ("", "/v1/products/" + str(uuid.uuid4())), ("", "/nowhere"),
                    ("", "/v1/products?limit=x")]:
        get, head = (fetch(any_api, path, method, accept_encoding=coding, x_request_id=given)
                     for method in ("GET", "HEAD"))
        assert head.status_code == get.status_code and head.content == b"" and get.content
        drop = {"date", "cache-status"}
        assert {k: v for k, v in head.headers.items() if k not in drop} == \
            {k: v for k, v in get.headers.items() if k not in drop}, path
        assert int(head.headers["content-length"]) == len(get.content)


def test_head_of_what_the_client_has(any_api, readable):
    for pattern, path in reads(readable):
        if ("GET", pattern) in KEPT_ROUTES:
            tag = fetch(any_api, path, "HEAD").headers["etag"]
            assert fetch(any_api, path, "HEAD", if_none_match=tag).status_code == 304
