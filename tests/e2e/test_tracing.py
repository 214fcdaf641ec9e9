# SPDX-License-Identifier: Apache-2.0
"""Traces as a collector of our own receives them, and Server-Timing."""

import re
import time
import uuid

import pytest

from kit.clients import PROTOCOLS, Api, Connection
from kit.collector import Collector
from kit.processes import eventually, free_port, patient
from kit.shop import Shop


@pytest.fixture
def collector():
    with Collector() as collector:
        yield collector


@pytest.fixture
def tracing(collector):
    return {"endpoint": collector.url, "interval": "100ms", "sample": 0}


def context(sampled=True):
    """(traceparent, trace id, span id) of a caller."""
    trace, span = uuid.uuid4().hex, uuid.uuid4().hex[:16]
    return "00-%s-%s-%s" % (trace, span, "01" if sampled else "00"), trace, span


def children_of(collector, span):
    return sorted((s for s in collector.spans(traceId=span["traceId"])
                   if s.get("parentSpanId") == span["spanId"]), key=lambda s: (s["from"], s["to"]))


def one_server(collector, trace):
    span, = eventually(lambda: collector.servers(traceId=trace), what="the trace has come")
    return span


def share_of_parts(collector, span):
    parts = sum(p["to"] - p["from"] for p in children_of(collector, span))
    return parts / (span["to"] - span["from"])


# ---- Show 6 ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_trace_hangs_on_its_callers_span(start, shop, collector, tracing, certificate, protocol):
    gateway = start(workers=1, tracing=tracing)
    header, trace, parent = context()
    with Api(gateway, shop.token(), protocol, ca=certificate[0]) as api:
        answer = api.get("/v1/products?limit=5", headers={
            "traceparent": header, "tracestate": "vendor=1,till=7", "x-request-id": trace})
        host = str(answer.request.url.host)
    span = one_server(collector, trace)
    assert (span["parentSpanId"], span["traceState"]) == (parent, "vendor=1,till=7")
    assert span["name"] == "GET /v1/products" and span["kind"] == 2 and "status" not in span
    assert answer.headers["traceresponse"] == "00-%s-%s-01" % (trace, span["spanId"])
    assert span["attributes"].items() >= {
        "http.request.method": "GET", "http.route": "/v1/products", "url.path": "/v1/products",
        "url.scheme": "https" if "TLS" in protocol else "http", "http.response.status_code": 200,
        "network.protocol.version": "1.1" if protocol == "HTTP/1.1" else "2",
        "server.address": host, "server.port": gateway.https if "TLS" in protocol else gateway.http,
        "client.address": "127.0.0.1", "tillway.request_id": trace}.items()
    resource = collector.resources()[0]
    assert resource["service.name"] == "tillway" and resource["process.pid"] == gateway.pid
    # The parts lie within, one behind the other, and are most of it.
    parts = children_of(collector, span)
    assert [p["name"] for p in parts if p["name"] != "limit"] == [
        "auth", "queue", "product_list", "serialise"]
    assert [p["attributes"]["tillway.limit.by"] for p in parts if p["name"] == "limit"] == [
        "address", "principal"]
    assert all(span["from"] <= p["from"] <= p["to"] <= span["to"] for p in parts)
    assert all(a["to"] <= b["from"] for a, b in zip(parts, parts[1:]))
    shares = [share_of_parts(collector, span)]
    while max(shares) < 0.5:  # a busy machine interrupts a worker between the parts, too
        assert len(shares) < 20, shares
        header, another, _ = context()
        with Api(gateway, shop.token(), protocol, ca=certificate[0]) as api:
            api.get("/v1/products?limit=5", headers={"traceparent": header})
        shares.append(share_of_parts(collector, one_server(collector, another)))
    assert max(shares) <= 1
    pg = next(p for p in parts if p["name"] == "product_list")
    assert pg["kind"] == 3 and pg["attributes"] == {
        "db.system.name": "postgresql", "db.operation.name": "product_list",
        "db.query.summary": "product_list", "tillway.lane": "slow"}
    assert len({s["spanId"] for s in collector.spans(traceId=trace)}) == len(parts) + 1
    # The log speaks of the same trace and the same person.
    line, = eventually(lambda: gateway.accesses(requestId=trace), what="the line is written")
    assert line["traceId"] == trace and line["principal"] == span["attributes"]["enduser.pseudo.id"]
    assert abs(line["durationUs"] - (span["to"] - span["from"]) / 1000) < 2
    assert collector.posts[0][0] == "/v1/traces"
    assert collector.posts[0][1]["Content-Type"] == "application/json"


def test_what_is_not_sampled_is_not_sent(start, shop, collector, tracing):
    """The caller's flag decides; sample: 0 means that nobody else's request is traced."""
    gateway = start(tracing=tracing)
    headers = [context(sampled) for sampled in (False, True) * 20]
    with Api(gateway, shop.token()) as api:
        for header, _, _ in headers:
            answer = api.get("/v1/me", headers={"traceparent": header})
            assert ("traceresponse" in answer.headers) == header.endswith("01")
            assert "traceresponse" not in api.get("/v1/me").headers
    wanted = {trace for header, trace, _ in headers if header.endswith("01")}
    eventually(lambda: {s["traceId"] for s in collector.servers()} >= wanted, what="all have come")
    assert {s["traceId"] for s in collector.servers()} == wanted
    eventually(lambda: gateway.metrics()['tillway_traces_total{result="sent"}'] == len(wanted))


def test_a_share_of_its_own(start, shop, collector, tracing):
    """Without a caller's word a share is traced, as roots; the caller's word may count for nothing."""
    gateway = start(workers=1, tracing={**tracing, "sample": 0.5, "follow_parent": False})
    header = "00-%s-00f067aa0ba902b7-01"
    inside, outside = "0" * 17 + "1" + "0" * 14, "f" * 32
    with Api(gateway, shop.token()) as api:
        for _ in range(60):
            api.get("/v1/me")
        assert "traceresponse" in api.get("/v1/me", headers={"traceparent": header % inside}).headers
        assert "traceresponse" not in api.get("/v1/me", headers={"traceparent": header % outside}).headers
    one_server(collector, inside)
    roots = [s for s in collector.servers() if "parentSpanId" not in s]
    assert 5 < len(roots) < 57 and len({s["traceId"] for s in roots}) == len(roots)
    eventually(lambda: {s["traceId"] for s in roots} <= {line.get("traceId") for line in gateway.accesses()},
               what="the log has the ids that were made here")


# ---- what went wrong, and where --------------------------------------------------------------------


def test_refused_and_failed_requests(start, issuer, own_database, collector, tracing):
    gateway = start(workers=1, tracing=tracing, db={"url": own_database.url})
    shop = Shop(own_database, issuer)
    product = shop.product()
    own_database.rows("""
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN RAISE 'the shelf is broken'; END $$;
        CREATE TRIGGER refuse BEFORE INSERT ON transaction_items FOR EACH ROW
            EXECUTE FUNCTION refuse()""")
    with Api(gateway, shop.token()) as api:
        refused, nowhere, broken = context(), context(), context()
        api.get("/v1/me", token=None, headers={"traceparent": refused[0]})
        api.get("/v1/nothing", headers={"traceparent": nowhere[0]})
        assert api.sell(shop.basket(product), headers={"traceparent": broken[0]}).status_code == 500
    span = one_server(collector, refused[1])
    assert span["attributes"]["http.response.status_code"] == 401 and "status" not in span
    assert span["attributes"]["tillway.code"] == "token-missing"
    assert "error.type" not in span["attributes"] and "enduser.pseudo.id" not in span["attributes"]
    parts = children_of(collector, span)
    assert {p["name"] for p in parts} == {"limit", "auth", "serialise"}
    assert all(a["to"] <= b["from"] for a, b in zip(parts, parts[1:]))
    assert [p["name"] for p in parts][-2:] == ["auth", "serialise"]
    span = one_server(collector, nowhere[1])
    assert span["name"] == "GET" and "http.route" not in span["attributes"]
    span = one_server(collector, broken[1])
    assert span["status"] == {"code": 2} and span["attributes"]["error.type"] == "internal"
    pg, = [p for p in children_of(collector, span) if p["kind"] == 3]
    assert pg["name"] == "record_sales" and pg["status"] == {"code": 2}
    assert pg["attributes"]["error.type"] == "internal"


def test_odd_headers_are_only_text(start, shop, collector, tracing):
    gateway = start(workers=1, tracing=tracing)
    header, trace, _ = context()
    with gateway.connect() as sock:
        sock.sendall(b"BREW /v1/me HTTP/1.1\r\nHost: a\"b\\\xff:99999\r\nConnection: close\r\n"
                     b"Traceparent: " + header.encode() + b"\r\nTracestate: \xc3\x28\"\\\r\n\r\n")
        sock.recv(100)
    span = one_server(collector, trace)
    assert span["name"] == "HTTP" or span["attributes"]["http.request.method"] == "_OTHER"


# ---- the collector ---------------------------------------------------------------------------------


def test_a_dead_collector_disturbs_nobody(start, shop, tracing):
    """Requests are as fast, traces wait in bounded buffers, one line tells of it."""
    gateway = start(workers=1, tracing={**tracing, "endpoint": "http://127.0.0.1:%d/" % free_port()})
    connection = Connection(gateway, shop.token())
    connection._headers["traceparent"] = context()[0]
    slowest = 0
    for _ in range(300):
        began = time.monotonic()
        assert connection.request("GET", "/v1/me")[0] == 200
        slowest = max(slowest, time.monotonic() - began)
    assert slowest < patient(0.5)
    connection.close()
    failed = "tillway_trace_exports_failed_total"
    eventually(lambda: gateway.metrics()[failed] >= 1, what="failures are counted")
    eventually(lambda: len(gateway.events("traces_not_sent")) == 1, what="one line tells of it")
    assert gateway.metrics()['tillway_traces_total{result="sent"}'] == 0
    assert gateway.is_ready()


def test_traces_wait_for_a_collector_that_is_busy(start, shop, collector, tracing):
    """503: the same spans come again. 400: dropped. A stop sends what is left."""
    gateway = start(workers=1, tracing={**tracing, "header": "Authorization: Bearer hidden-word"})
    with Api(gateway, shop.token()) as api:
        collector.status = 503
        first = context()
        api.get("/v1/me", headers={"traceparent": first[0]})
        before = eventually(lambda: collector.spans(status=503, traceId=first[1]))
        collector.status = 200
        one_server(collector, first[1])
        again = collector.spans(traceId=first[1])
        assert [s["spanId"] for s in again] == [s["spanId"] for s in before]
        eventually(lambda: gateway.events("traces_sent"), what="that it works again is told")
        collector.status = 400
        refused = context()
        api.get("/v1/me", headers={"traceparent": refused[0]})
        eventually(lambda: gateway.metrics()['tillway_traces_total{result="refused"}'] == 1)
        assert collector.spans(status=400, traceId=refused[1])
        collector.status = 200
        gateway.reload(tracing={"interval": "60s"})
    with Api(gateway, shop.token()) as api:
        api.get("/v1/me")  # what is gathered from now on waits for the interval
        last = [context() for _ in range(3)]
        for header, _, _ in last:
            api.get("/v1/me", headers={"traceparent": header})
    gateway.stop()
    assert {s["traceId"] for s in collector.servers()} >= {trace for _, trace, _ in last}
    assert not collector.spans(traceId=refused[1])
    assert {post[1]["Authorization"] for post in collector.posts} == {"Bearer hidden-word"}
    assert "hidden-word" not in gateway.log_text()


@pytest.mark.parametrize("trusted", [True, False])
def test_over_tls_the_certificate_is_checked(start, shop, certificate, tracing, trusted):
    with Collector(certificate) as collector:
        gateway = start(workers=1, tracing={
            **tracing, "endpoint": collector.url, "ca_file": certificate[0] if trusted else ""})
        header, trace, _ = context()
        with Api(gateway, shop.token()) as api:
            api.get("/v1/me", headers={"traceparent": header})
        if trusted:
            one_server(collector, trace)
            return
        line, = eventually(lambda: gateway.events("traces_not_sent"), what="it is refused")
        assert "certificate refused" in line["message"] and not collector.posts


def test_upgrades_and_reloads_lose_no_trace(start, shop, collector, tracing):
    gateway = start(workers=1, tracing={**tracing, "interval": "10s"})
    traces = [context() for _ in range(9)]

    def ask(some):
        with Api(gateway, shop.token()) as api:
            for header, _, _ in some:
                api.get("/v1/me", headers={"traceparent": header})

    ask(traces[:3])
    gateway.reload(tracing={"sample": 0.001})
    ask(traces[3:6])
    gateway.upgrade()
    ask(traces[6:])
    gateway.stop()
    assert {s["traceId"] for s in collector.servers()} >= {trace for _, trace, _ in traces}


def test_a_reload_keeps_the_batch_that_is_on_its_way(start, shop, collector, tracing):
    """The collector has it and says nothing: 503 for all we know, so it must come again."""
    gateway = start(workers=1, tracing={**tracing, "timeout": "60s"})
    header, trace, _ = context()
    collector.status = 503
    collector.answers.clear()
    with Api(gateway, shop.token()) as api:
        api.get("/v1/me", headers={"traceparent": header})
    eventually(lambda: collector.spans(status=503, traceId=trace), what="it is on its way")
    collector.status = 200
    gateway.reload()
    one_server(collector, trace)
    collector.answers.set()
    eventually(lambda: gateway.metrics()['tillway_traces_total{result="sent"}'] == 1)
    assert gateway.metrics()['tillway_traces_total{result="dropped"}'] == 0


# ---- Server-Timing ---------------------------------------------------------------------------------


def timings(answer):
    return {name: float(ms) for name, ms in re.findall(r"(\w+);dur=([\d.]+)", answer.headers["server-timing"])}


def test_server_timing(start, shop):
    gateway = start(workers=1, http={"server_timing": True})
    with Api(gateway, shop.token()) as api:
        began = time.monotonic()
        listed = timings(api.get("/v1/products?limit=5"))
        took_ms = (time.monotonic() - began) * 1000
        assert list(listed) == ["auth", "limit", "queue", "db", "total"]
        assert 0 < listed["db"] and sum(listed.values()) - listed["total"] <= listed["total"] < took_ms
        assert list(timings(api.get("/v1/me"))) == ["auth", "limit", "total"]
        assert "traceresponse" not in api.get("/v1/me").headers
        assert list(timings(api.get("/v1/nothing"))) == ["total"]
    with Api(gateway) as api:
        assert "total" in timings(api.get("/v1/me"))


def test_nothing_is_told_unless_asked_for(api):
    answer = api.get("/v1/me", headers={"traceparent": context()[0]})
    assert "server-timing" not in answer.headers and "traceresponse" not in answer.headers
