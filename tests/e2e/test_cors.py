# SPDX-License-Identifier: Apache-2.0
"""What a browser lets a page of another origin do: CORS by configuration, judged as the Fetch
standard makes a browser judge; and OPTIONS, with CORS or without."""

import json
import re
import uuid

import pytest

from kit import http2
from kit.clients import PROTOCOLS, Api, RawAnswer, assert_problem, raw_http1
from kit.gateway import Gateway, deep_merge
from kit.processes import BINARY, clean_environment, eventually, run

ORIGIN, SECOND, UNKNOWN = "https://till.example.com", "http://localhost:3000", "https://evil.example"
BODY_MAX = 4096
EXPOSED = {"etag", "link", "location", "retry-after", "ratelimit", "ratelimit-policy", "x-request-id",
           "idempotency-replayed", "www-authenticate", "cache-status", "server-timing", "traceresponse"}
LEGACY = {"x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"}
# Fetch shows these without being told to; those are for browsers, caches and proxies.
SAFELISTED = {"cache-control", "content-language", "content-length", "content-type", "expires", "last-modified",
              "pragma"}
NOT_FOR_PAGES = {"server", "date", "connection", "vary", "allow", "accept", "content-encoding",
                 "x-content-type-options", "content-security-policy", "referrer-policy",
                 "cross-origin-resource-policy", "strict-transport-security"}
SENT = ["authorization", "content-type", "idempotency-key", "if-match", "if-none-match", "x-request-id",
        "traceparent", "tracestate", "last-event-id", "prefer"]
PREFLIGHT_VARY = {"origin", "access-control-request-method", "access-control-request-headers"}


def words(answer, name):
    return {word.strip().lower() for word in answer.headers.get(name, "").split(",")} - {""}


def varies(answer):
    """Vary, but for what tests/e2e/test_responses.py judges."""
    return words(answer, "vary") - {"accept-encoding"}


def cors_headers(answer):
    return {name for name in answer.headers if name.lower().startswith("access-control-")}


# ---- a browser's part: Fetch, "CORS check" and "CORS-preflight fetch" -------------------------------


def may_read(answer, origin=ORIGIN, credentials=False):
    """CORS check."""
    allowed = answer.headers.get("access-control-allow-origin")
    if not credentials and allowed == "*":
        return True
    if allowed != origin:
        return False
    return not credentials or answer.headers.get("access-control-allow-credentials") == "true"


def may_send(answer, method, headers=(), origin=ORIGIN, credentials=False):
    """CORS-preflight fetch, from its answer on. `*` never stands for Authorization."""
    if not may_read(answer, origin, credentials) or not 200 <= answer.status_code <= 299:
        return False
    methods = {m.strip() for m in answer.headers.get("access-control-allow-methods", "").split(",")}
    return (method in methods or method in ("GET", "HEAD", "POST")) and \
        set(headers) <= words(answer, "access-control-allow-headers")


def preflight(api, path, method="GET", origin=ORIGIN, headers=SENT, **more):
    """As Chrome sends it: names in order and in lower case, and never a token."""
    return api.request("OPTIONS", path, token=None, headers={
        "origin": origin, "access-control-request-method": method,
        "access-control-request-headers": ",".join(sorted(headers)), "sec-fetch-mode": "cors", **more})


def assert_shared(answer, origin=ORIGIN, exposed=EXPOSED):
    """A page of the origin reads this answer and what it needs of its head; others do not."""
    assert may_read(answer, origin, credentials=True), answer.headers
    assert not may_read(answer, UNKNOWN)
    assert words(answer, "access-control-expose-headers") == exposed
    sent = {name.lower() for name in answer.headers if not name.startswith(":")}
    assert sent - cors_headers(answer) - SAFELISTED - NOT_FOR_PAGES <= exposed
    assert "origin" in words(answer, "vary")


# ---- gateways --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def till(work, config):
    """Two origins, with credentials."""
    gateway = Gateway(work, deep_merge(config, {
        "cors": {"origins": [ORIGIN, SECOND], "credentials": True, "max_age": "90s"},
        "http": {"body_max": BODY_MAX}})).start()
    yield gateway
    gateway.stop()


@pytest.fixture(scope="module")
def open_to_all(work, config):
    gateway = Gateway(work, deep_merge(config, {"cors": {"origins": ["*"]}})).start()
    yield gateway
    gateway.stop()


@pytest.fixture(params=PROTOCOLS)
def page(request, till, shop, certificate):
    """A cashier over each protocol in turn."""
    with Api(till, shop.token("cashier"), request.param, ca=certificate[0]) as api:
        yield api


@pytest.fixture
def anyone(open_to_all, shop):
    with Api(open_to_all, shop.token("cashier")) as api:
        yield api


def routes():
    """{pattern: methods} of THE table."""
    table = {}
    for line in run([BINARY, "routes"]).stdout.splitlines():
        method, pattern = line.split()[:2]
        table.setdefault(pattern, set()).add(method)
    return table


def sample(pattern):
    return re.sub(r"\{\w+\}", str(uuid.uuid4()), pattern)


# ---- every answer ----------------------------------------------------------------------------------

ANSWERS = {
    "200": lambda api, shop: api.get("/v1/me", headers={"origin": ORIGIN}),
    "200 list": lambda api, shop: api.get("/v1/products?limit=1", headers={"origin": ORIGIN}),
    "200 HEAD": lambda api, shop: api.request("HEAD", "/v1/me", headers={"origin": ORIGIN}),
    "201": lambda api, shop: api.sell(shop.basket(shop.product()), headers={"origin": ORIGIN}),
    "304": lambda api, shop: api.get("/v1/products/" + shop.product(), headers={
        "origin": ORIGIN, "if-none-match": "*"}),
    "400 target": lambda api, shop: api.get("/v1//me", headers={"origin": ORIGIN}),
    "400 JSON": lambda api, shop: api.request("POST", "/v1/transactions", content=b"{", headers={
        "origin": ORIGIN, "content-type": "application/json", "idempotency-key": "k"}),
    "401 none": lambda api, shop: api.get("/v1/me", token=None, headers={"origin": ORIGIN}),
    "401 bad": lambda api, shop: api.get("/v1/me", token="x.y.z", headers={"origin": ORIGIN}),
    "403": lambda api, shop: api.post("/v1/products", json={}, headers={"origin": ORIGIN}),
    "404": lambda api, shop: api.get("/nowhere", headers={"origin": ORIGIN}),
    "404 row": lambda api, shop: api.get("/v1/products/" + str(uuid.uuid4()), headers={"origin": ORIGIN}),
    "405": lambda api, shop: api.request("DELETE", "/v1/products", headers={"origin": ORIGIN}),
    "414": lambda api, shop: api.get("/" + "x" * 5000, headers={"origin": ORIGIN}),
    "415": lambda api, shop: api.request("POST", "/v1/transactions", content=b"x", headers={
        "origin": ORIGIN, "content-type": "text/plain", "idempotency-key": "k"}),
    "422": lambda api, shop: api.sell({"items": []}, headers={"origin": ORIGIN}),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_a_page_reads_every_answer(page, shop, name):
    """Errors too: without these headers a page sees a network error and no status."""
    answer = ANSWERS[name](page, shop)
    assert answer.status_code == int(name.split()[0]), answer.text
    assert_shared(answer)


def test_413_on_http1(till, shop):
    """The library's own answer."""
    answer, = raw_http1(till.http, (
        "POST /v1/transactions HTTP/1.1\r\nHost: x\r\nOrigin: %s\r\nContent-Type: application/json\r\n"
        "Authorization: Bearer %s\r\nContent-Length: %d\r\n\r\n" % (
            ORIGIN, shop.token(), BODY_MAX + 1)).encode())
    assert_problem(answer, 413, "payload-too-large")
    assert_shared(answer)


def test_413_on_http2(till, shop):
    answer = http2.request(till.http, [
        (":method", "POST"), (":scheme", "http"), (":authority", "x"), (":path", "/v1/transactions"),
        ("origin", ORIGIN), ("content-type", "application/json"),
        ("authorization", "Bearer " + shop.token())], b" " * (BODY_MAX + 1))
    assert_problem(RawAnswer(answer.status_code, answer.headers, answer.content), 413)
    assert_shared(answer)


def test_417(till):
    answer, = raw_http1(till.http, (
        "POST /v1/transactions HTTP/1.1\r\nHost: x\r\nOrigin: %s\r\nExpect: the-unexpected\r\n"
        "Content-Length: 2\r\n\r\n{}" % ORIGIN).encode(), timeout_s=5)
    assert_problem(answer, 417)
    assert_shared(answer)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_503(start, shop, certificate, protocol):
    """Retry-After is of use to a page only when it may read it."""
    gateway = start("live", db={"url": "postgresql://till@127.0.0.1:1/none"},
                    cors={"origins": [ORIGIN], "credentials": True})
    with Api(gateway, shop.token(), protocol, ca=certificate[0]) as api:
        answer = eventually(lambda: (lambda a: a if a.json()["code"] == "database-unavailable" else None)(
            api.get("/v1/products", headers={"origin": ORIGIN})), what="keys are there, the database is not")
    assert answer.status_code == 503 and answer.headers["retry-after"]
    assert_shared(answer)


def test_429(start, certificate):
    gateway = start(cors={"origins": [ORIGIN], "credentials": True},
                    auth={"failures": {"rate": 1, "burst": 2}})
    with Api(gateway, "x.y.z") as api:
        answer = eventually(lambda: (a := api.get("/v1/me", headers={"origin": ORIGIN})).status_code == 429 and a)
    assert answer.headers["retry-after"]
    assert_shared(answer)


def test_limits_and_times_by_option(start, shop):
    """What options add to the head can be read, too."""
    gateway = start(cors={"origins": [ORIGIN], "credentials": True}, http={"server_timing": True},
                    limits=[{"name": "one", "key": "principal", "rate": "1/h", "burst": 2}],
                    rate_limits={"legacy_headers": True},
                    tracing={"endpoint": "http://127.0.0.1:1", "sample": 1})
    path = "/v1/products/" + shop.product()
    with Api(gateway, shop.token()) as api:
        answers = [api.get(path, headers={"origin": ORIGIN}) for _ in range(3)]
    assert [a.status_code for a in answers] == [200, 200, 429]
    assert "cache-status" in answers[0].headers
    for answer in answers:
        assert LEGACY | {"ratelimit", "ratelimit-policy", "server-timing", "traceresponse"} <= set(answer.headers)
        assert_shared(answer, exposed=EXPOSED | LEGACY)


# ---- origins ---------------------------------------------------------------------------------------


def test_each_origin_is_answered_with_itself(page):
    for origin in (ORIGIN, SECOND, ORIGIN):
        assert_shared(page.get("/v1/me", headers={"origin": origin}), origin)


@pytest.mark.parametrize("origin", [
    UNKNOWN, "null", "*", "", ORIGIN + ".evil.example", ORIGIN + ":443", ORIGIN + "/", ORIGIN.upper(),
    ORIGIN[:-1], "http://till.example.com", ORIGIN + " " + SECOND, ORIGIN + ", " + SECOND])
def test_an_unknown_origin_is_served_without_cors(page, origin):
    """The browser keeps it from the page; a cache keeps it from other origins."""
    answer = page.get("/v1/me", headers={"origin": origin})
    assert answer.status_code == 200 and not cors_headers(answer)
    assert varies(answer) == {"origin"}


def test_no_origin(page):
    for answer in (page.get("/v1/me"), page.get("/nowhere"), page.get("/v1/me", token=None)):
        assert not cors_headers(answer) and varies(answer) == {"origin"}


def test_without_credentials(start, shop):
    gateway = start(cors={"origins": [ORIGIN]})
    with Api(gateway, shop.token()) as api:
        answer, asked = api.get("/v1/me", headers={"origin": ORIGIN}), preflight(api, "/v1/me")
    for one in (answer, asked):
        assert may_read(one) and not may_read(one, credentials=True)
        assert "access-control-allow-credentials" not in one.headers
    assert asked.headers["access-control-max-age"] == "600"  # the default


# ---- preflight -------------------------------------------------------------------------------------


def test_preflight_of_every_route(page):
    table = routes()
    assert len(table) >= 5
    for pattern, methods in table.items():
        offered = methods | {"OPTIONS"} | ({"HEAD"} if "GET" in methods else set())
        for method in sorted(methods):
            answer = preflight(page, sample(pattern), method)
            assert answer.status_code == 204 and answer.content == b"", pattern
            assert may_send(answer, method, SENT, credentials=True), (pattern, method)
            assert words(answer, "access-control-allow-methods") == {m.lower() for m in offered}
            assert answer.headers["allow"] == answer.headers["access-control-allow-methods"]
            assert answer.headers["access-control-max-age"] == "90"
            assert words(answer, "vary") == PREFLIGHT_VARY
            assert "content-length" not in answer.headers and "content-type" not in answer.headers


def test_preflight_for_what_is_not_offered(page):
    """The browser reads the lists and does not send the request."""
    answer = preflight(page, "/v1/me", "DELETE")
    assert answer.status_code == 204 and not may_send(answer, "DELETE", credentials=True)
    answer = preflight(page, "/v1/me", "GET", headers=["x-other"])
    assert answer.status_code == 204 and not may_send(answer, "GET", ["x-other"], credentials=True)


def test_preflight_of_an_unknown_path(page):
    answer = preflight(page, "/v1/nothing")
    assert_problem(answer, 404, "not-found")
    assert_shared(answer)
    assert words(answer, "vary") == PREFLIGHT_VARY
    assert not may_send(answer, "GET")
    assert_shared(assert_status(preflight(page, "/v1//me"), 400))


def assert_status(answer, status):
    assert answer.status_code == status, answer.text
    return answer


def test_preflight_of_an_unknown_origin(page):
    answer = preflight(page, "/v1/products", "POST", origin=UNKNOWN)
    assert answer.status_code == 204 and not cors_headers(answer)
    assert words(answer, "vary") == PREFLIGHT_VARY
    answer = preflight(page, "/v1/nothing", origin=UNKNOWN)
    assert answer.status_code == 404 and not cors_headers(answer)


def test_private_network_access_is_not_granted(page):
    answer = preflight(page, "/v1/me", **{"access-control-request-private-network": "true"})
    assert answer.status_code == 204 and may_send(answer, "GET", SENT, credentials=True)
    assert "access-control-allow-private-network" not in answer.headers


def test_a_token_that_came_along_is_not_looked_at(page):
    """Preflights carry none; whoever adds one gets the same answer."""
    answer = page.request("OPTIONS", "/v1/me", token="x.y.z", headers={
        "origin": ORIGIN, "access-control-request-method": "GET"})
    assert answer.status_code == 204 and may_send(answer, "GET", credentials=True)


# ---- every origin ----------------------------------------------------------------------------------


@pytest.mark.parametrize("origin", [ORIGIN, UNKNOWN, "null", None])
def test_star_is_the_same_for_all(anyone, origin):
    """So a cache may give one answer to everybody: no Vary, and the header without Origin too."""
    headers = {"origin": origin} if origin else {}
    for answer in (anyone.get("/v1/me", headers=headers), anyone.get("/nowhere", headers=headers),
                   anyone.get("/v1/me", token=None, headers=headers)):
        assert answer.headers["access-control-allow-origin"] == "*"
        assert may_read(answer, origin) and not may_read(answer, origin, credentials=True)
        assert words(answer, "access-control-expose-headers") == EXPOSED
        assert not varies(answer)
        assert "access-control-allow-credentials" not in answer.headers


def test_preflight_with_star(anyone):
    answer = preflight(anyone, "/v1/products", "POST", origin=UNKNOWN)
    assert may_send(answer, "POST", SENT, UNKNOWN)
    assert answer.headers["access-control-allow-origin"] == "*"
    assert words(answer, "vary") == PREFLIGHT_VARY
    answer = anyone.request("OPTIONS", "/v1/products", headers={"access-control-request-method": "POST"})
    assert answer.status_code == 204 and "access-control-allow-methods" not in answer.headers


# ---- off, and OPTIONS without CORS -----------------------------------------------------------------


@pytest.fixture(params=PROTOCOLS)
def plain(request, gateway, shop, certificate):
    """A cashier of the shared gateway, where CORS is off."""
    with Api(gateway, shop.token(), request.param, ca=certificate[0]) as api:
        yield api


def test_off_by_default(plain):
    for answer in (plain.get("/v1/me", headers={"origin": ORIGIN}), preflight(plain, "/v1/me"),
                   plain.get("/nowhere", headers={"origin": ORIGIN}), preflight(plain, "/nowhere"),
                   plain.get("/v1/me", token=None, headers={"origin": ORIGIN})):
        assert not cors_headers(answer) and not varies(answer)


def test_options_names_the_methods(plain):
    """RFC 9110 §9.3.7. No token needed: the list is no secret."""
    table = routes()
    assert len(table) >= 5
    for pattern, methods in table.items():
        answer = plain.request("OPTIONS", sample(pattern), token=None)
        assert answer.status_code == 204 and answer.content == b""
        wanted = methods | {"OPTIONS"} | ({"HEAD"} if "GET" in methods else set())
        assert words(answer, "allow") == {m.lower() for m in wanted}
        refused = plain.request("TRACE", sample(pattern), token=None)
        assert (refused.status_code, refused.headers["allow"]) == (405, answer.headers["allow"])


def test_options_of_an_unknown_path(plain):
    assert_problem(plain.request("OPTIONS", "/nowhere", token=None), 404, "not-found")
    assert_problem(plain.request("OPTIONS", "/v1/me/", token=None), 400, "invalid-target")


def test_options_that_is_no_preflight(page):
    """Without Access-Control-Request-Method, or without Origin."""
    answer = page.request("OPTIONS", "/v1/me", token=None, headers={"origin": ORIGIN})
    assert answer.status_code == 204 and answer.headers["allow"] == "GET, HEAD, OPTIONS"
    assert_shared(answer)
    assert "access-control-allow-methods" not in answer.headers
    answer = page.request("OPTIONS", "/v1/me", token=None,
                          headers={"access-control-request-method": "GET"})
    assert answer.status_code == 204 and not cors_headers(answer)


def test_a_connection_goes_on_behind_options(gateway, shop):
    """204 without a length, with a body sent along or not: what follows is in step."""
    head = "Host: x\r\nAuthorization: Bearer %s\r\n" % shop.token()
    answers = raw_http1(gateway.http, (
        "OPTIONS /v1/me HTTP/1.1\r\n%s\r\n" % head +
        "OPTIONS /v1/me HTTP/1.1\r\n%sContent-Length: 5\r\n\r\nhello" % head +
        "OPTIONS /v1/me HTTP/1.1\r\n%sTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n" % head +
        "OPTIONS /nowhere HTTP/1.1\r\n%s\r\n" % head +
        "GET /v1/me HTTP/1.1\r\n%sConnection: close\r\n\r\n" % head).encode())
    assert [a.status_code for a in answers] == [204, 204, 204, 404, 200]
    assert not any({"content-length", "transfer-encoding"} & a.headers.keys() for a in answers[:3])


def test_options_is_counted_and_logged(plain, gateway):
    """As a request that matched no route: it is not the work of any."""
    given = "options-" + uuid.uuid4().hex
    counter = 'tillway_http_requests_total{method="any",route="unmatched",status="2xx"}'
    before = gateway.metrics()[counter]
    plain.request("OPTIONS", "/v1/me", token=None, headers={"x-request-id": given})
    line, = eventually(lambda: gateway.accesses(requestId=given), what="the line is written")
    assert (line["method"], line["path"], line["status"]) == ("OPTIONS", "/v1/me", 204)
    eventually(lambda: gateway.metrics()[counter] > before, what="it is counted")


# ---- configuration ---------------------------------------------------------------------------------

BASE = """\
listen: [{address: 127.0.0.1, port: 0}]
auth: {issuers: [{issuer: "https://id.example.com", audience: [tills]}]}
db: {url: "postgresql://till@127.0.0.1:1/pos"}
"""


def check(tmp_path, cors):
    path = tmp_path / "tillway.yaml"
    path.write_text(BASE + "cors: %s\n" % json.dumps(cors))
    return run([BINARY, "-t", "-c", str(path)], env=clean_environment())


@pytest.mark.parametrize("cors, wanted", [
    ({"origins": ["*"], "credentials": True}, "exclude each other"),
    ({"origins": ["*", ORIGIN]}, "name no other beside it"),
    ({"origins": [ORIGIN + "/"]}, "nothing else"),
    ({"origins": [ORIGIN + "/till"]}, "nothing else"),
    ({"origins": [ORIGIN + "?a"]}, "nothing else"),
    ({"origins": [ORIGIN + ":x"]}, "is not an origin"),
    ({"origins": ["till.example.com"]}, "is not an origin"),
    ({"origins": ["https://*.example.com"]}, "is not an origin"),
    ({"origins": ["https://Till.example.com"]}, "capitals"),
    ({"origins": [""]}, "cors.origins"),
    ({"origins": ORIGIN}, "cors.origins"),
    ({"origins": [ORIGIN], "max_age": "25h"}, "cors.max_age"),
])
def test_what_cannot_work_is_refused(tmp_path, cors, wanted):
    done = check(tmp_path, cors)
    assert done.returncode != 0 and "cors." in done.stderr and wanted in done.stderr, done.stderr


@pytest.mark.parametrize("cors", [
    {"origins": []}, {"origins": ["*"]}, {"origins": [ORIGIN, SECOND], "credentials": True},
    {"origins": ["https://[::1]:8443", "http://127.0.0.1:3000", "capacitor://localhost"]}])
def test_what_works_is_taken(tmp_path, cors):
    done = check(tmp_path, cors)
    assert done.returncode == 0, done.stderr
    for origin in cors["origins"]:
        assert origin in done.stdout
