# SPDX-License-Identifier: Apache-2.0
"""Rate limits: who is counted how, what a client is told, and that no worker counts for itself.
Exactness of the table has unit tests (test_limit.c). Rows of FAULTS: H7."""

import collections
import contextlib
import itertools
import json
import os
import re
import signal
import socket
import time

import h2.config
import h2.connection
import h2.events
import pytest

from kit.clients import Api, Connection, assert_problem, at_once, raw_http1
from kit.gateway import deep_merge
from kit.processes import BINARY, SANITIZED, eventually, resident_kib, run, scaled
from test_sales import lock_stock

SLOW = "1/h"  # nothing comes back while a test runs


def limits(*policies, **more):
    return {"limits": [{"name": "one", "key": "principal", "rate": SLOW, **p} for p in policies], **more}


def statuses(api, n, path="/v1/me", **how):
    return [api.get(path, **how).status_code for _ in range(n)]


def parsed(value):
    """A list of structured field strings with parameters: {name: {parameter: int}}."""
    out = {}
    for item in value.split(", "):
        name, *parameters = item.split(";")
        assert re.fullmatch(r'"[a-z0-9.-]+"', name), value
        out[name.strip('"')] = {k: int(v) for k, v in (p.split("=") for p in parameters)}
    return out


# ---- what a client is told -------------------------------------------------------------------------


def test_headers_and_the_refusal(start, issuer):
    """draft-ietf-httpapi-ratelimit-headers-11"""
    gateway = start(**limits({"name": "per-client", "rate": "2/m", "burst": 3}))
    with Api(gateway, issuer.token()) as api:
        for left in (2, 1, 0):
            answer = api.get("/v1/me")
            assert answer.status_code == 200
            assert parsed(answer.headers["ratelimit-policy"]) == {"per-client": {"q": 3, "w": 90}}
            said = parsed(answer.headers["ratelimit"])["per-client"]
            assert said["r"] == left and 30 * (3 - left) - 5 <= said["t"] <= 30 * (3 - left)
            assert "x-ratelimit-limit" not in answer.headers
        answer = api.get("/v1/me")
        problem = assert_problem(answer, 429, "quota-exceeded")
        assert problem["type"].endswith("#quota-exceeded")
        assert problem["violated-policies"] == ["per-client"]
        assert 25 <= int(answer.headers["retry-after"]) <= 30
        assert parsed(answer.headers["ratelimit"])["per-client"] == {
            "r": 0, "t": int(answer.headers["retry-after"])}  # §6: not earlier than the window's end


def test_retry_after_is_the_truth(start, issuer):
    gateway = start(**limits({"rate": "30/m", "burst": 1}))
    with Api(gateway, issuer.token()) as api:
        began = time.monotonic()
        assert api.get("/v1/me").status_code == 200
        answer = api.get("/v1/me")
        assert answer.status_code == 429 and answer.headers["retry-after"] in ("1", "2")
        eventually(lambda: api.get("/v1/me").status_code == 200)
        assert time.monotonic() - began > 1.99


def test_legacy_headers_by_option(start, issuer):
    gateway = start(**limits({"burst": 5}), rate_limits={"legacy_headers": True})
    with Api(gateway, issuer.token()) as api:
        said = api.get("/v1/me").headers
        assert (said["x-ratelimit-limit"], said["x-ratelimit-remaining"]) == ("5", "4")
        assert 3500 <= int(said["x-ratelimit-reset"]) <= 3600


def test_without_policies_nothing_is_said(api):
    answer = api.get("/v1/me")
    assert "ratelimit" not in answer.headers and "ratelimit-policy" not in answer.headers


# ---- who is counted how ----------------------------------------------------------------------------


def test_principals_are_counted_apart_over_all_workers(start, issuer):
    """H7: the limit, not the limit times the workers."""
    gateway = start(workers=4, **limits({"burst": 20}))
    ana, bob = issuer.token(username="ana"), issuer.token(username="bob")
    connections = [Connection(gateway, token) for token in [ana] * 10 + [bob] * 10]

    def ask(i):
        return [connections[i].request("GET", "/v1/me")[0] for _ in range(8)]
    answers = at_once(20, ask)
    for mine in (answers[:10], answers[10:]):
        flat = sum(mine, [])
        assert flat.count(200) == 20 and flat.count(429) == 60
    for connection in connections:
        connection.close()


def test_another_token_of_the_same_person_is_the_same(start, issuer):
    gateway = start(**limits({"burst": 2}))
    with Api(gateway) as api:
        tokens = [issuer.token(username="ana", ttl=3600 + i) for i in range(4)]
        assert len(set(tokens)) == 4
        assert [api.get("/v1/me", token=t).status_code for t in tokens] == [200, 200, 429, 429]


def test_clients_claims_and_routes_as_keys(start, issuer):
    gateway = start(**limits({"name": "app", "key": "client", "burst": 4},
                             {"name": "tenant", "key": "claim:custom:tenant", "burst": 2},
                             {"name": "spot", "key": "principal+route", "burst": 3}))
    with Api(gateway) as api:
        a = issuer.token(username="a", claims={"custom:tenant": "t1"})
        b = issuer.token(username="b", claims={"custom:tenant": "t1"})
        c = issuer.token(username="c", claims={"custom:tenant": "t2"})
        assert [api.get("/v1/me", token=t).status_code for t in (a, b)] == [200, 200]
        assert assert_problem(api.get("/v1/me", token=a), 429)["violated-policies"] == ["tenant"]
        assert [api.get("/v1/me", token=c).status_code for _ in range(2)] == [200, 200]
        refused = assert_problem(api.get("/v1/products", token=c), 429)["violated-policies"]
        assert refused == ["app", "tenant"]  # of four for the app, all are gone


def test_a_refusal_uses_up_nothing(start, issuer):
    """What one policy refuses is not charged to the others."""
    gateway = start(**limits({"name": "wide", "burst": 10}, {"name": "narrow", "burst": 1,
                                                            "routes": ["GET /v1/products"]}))
    gateway.wait_connected()  # who is ready may not have lists yet
    with Api(gateway, issuer.token()) as api:
        assert statuses(api, 5, "/v1/products?limit=1") == [200, 429, 429, 429, 429]
        assert parsed(api.get("/v1/me").headers["ratelimit"]) == {
            "wide": {"r": 8, "t": pytest.approx(7200, abs=10)}}


def test_reads_and_writes_apart(start, issuer):
    gateway = start(**limits({"name": "reads", "burst": 2, "methods": "reads"},
                             {"name": "writes", "burst": 1, "methods": "writes"}))
    with Api(gateway, issuer.token("manager")) as api:
        product = {"name": "x", "price": 1}
        assert api.post("/v1/products", json=product).status_code == 201
        assert api.post("/v1/products", json=product).status_code == 429
        assert statuses(api, 3) == [200, 200, 429]
        assert api.request("HEAD", "/v1/me").status_code == 429  # a read as well


def test_addresses_are_counted_before_a_token_is_looked_at(start, issuer):
    """H7: by the /32; a bad token costs the address, and another address nothing."""
    gateway = start(**limits({"key": "address", "burst": 3}))
    with Api(gateway, "bad.token.here") as api:
        assert statuses(api, 4) == [401, 401, 401, 429]
        assert api.get("/v1/me", token=issuer.token()).status_code == 429
    text = "GET /v1/me HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer %s\r\n\r\n"
    answer, = raw_http1(gateway.http, (text % issuer.token()).encode(), source="127.0.0.2")
    assert answer.status_code == 200


def test_without_a_token_the_address_stands_for_the_principal(start, issuer):
    gateway = start(auth={"issuers": [issuer.yaml()], "routes": [
        {"route": "GET /v1/products", "roles": ["public"]}]}, **limits({"burst": 2}))
    with Api(gateway, issuer.token()) as api:
        assert statuses(api, 3, "/v1/products?limit=1") == [200, 200, 429]
        assert api.get("/v1/me").status_code == 200  # the principal has its own


def test_cost_and_quota(start, issuer):
    gateway = start(**limits({"name": "dear", "burst": 5, "cost": 2, "quota": 3}))
    with Api(gateway, issuer.token()) as api:
        answer = api.get("/v1/me")
        assert parsed(answer.headers["ratelimit"])["dear"]["r"] == 3
        assert parsed(answer.headers["ratelimit-policy"])["dear-day"] == {"q": 3, "w": 86400}
        refused = assert_problem(api.get("/v1/me"), 429)["violated-policies"]
        assert refused == ["dear-day"]


def test_probes_are_not_limited(start, issuer):
    gateway = start(**limits({"key": "address", "burst": 1}))
    assert all(gateway.is_ready() for _ in range(5))
    with Api(gateway, issuer.token()) as api:
        assert statuses(api, 2) == [200, 429]


def test_scanners_are_limited_by_address(start, issuer):
    """What no route answers counts as well, of reads or writes, and says how much is left; by
    policies of nothing but the address, of all routes."""
    gateway = start(**limits({"name": "all", "key": "address", "burst": 4},
                             {"name": "writes", "key": "address", "burst": 1, "methods": "writes"},
                             {"name": "some", "key": "address", "burst": 1, "routes": ["GET /v1/me"]},
                             {"name": "each", "key": "address+route", "burst": 1},
                             {"name": "who", "key": "principal", "burst": 1}))
    with Api(gateway) as api:
        assert statuses(api, 2, "/v1/nothing") == [404, 404]
        answer = api.request("DELETE", "/v1/me")
        assert answer.status_code == 405 and "allow" in answer.headers
        said = parsed(answer.headers["ratelimit"])
        assert said.keys() == {"all", "writes"} and said["all"]["r"] == 1
        refused = assert_problem(api.request("DELETE", "/v1/me"), 429)
        assert refused["violated-policies"] == ["writes"]
        assert statuses(api, 2, "/v1/%6de") == [400, 429]
        assert api.get("/v1/me", token=issuer.token()).status_code == 429


# ---- OPTIONS ---------------------------------------------------------------------------------------

TILL = "https://till.example.com"
PREFLIGHT = {"origin": TILL, "access-control-request-method": "GET"}


def options(api, n, path="/v1/me", **headers):
    return [api.request("OPTIONS", path, headers=headers).status_code for _ in range(n)]


def test_preflights_take_nothing_from_requests_nor_requests_from_them(start, issuer):
    """A till at its limit hears 429 of its request, which its page can read, and not of the preflight,
    which it cannot: so a preflight has room wherever its request has."""
    gateway = start(**limits({"name": "shop", "key": "address", "burst": 3},
                             {"name": "who", "key": "principal", "burst": 2}),
                    cors={"origins": [TILL]})
    with Api(gateway, issuer.token()) as api:
        assert statuses(api, 2) == [200, 200]
        assert options(api, 1, **PREFLIGHT) == [204]
        answer = api.get("/v1/me", headers={"origin": TILL})
        assert assert_problem(answer, 429)["violated-policies"] == ["who"]
        assert answer.headers["access-control-allow-origin"] == TILL
        assert assert_problem(api.get("/v1/me"), 429)["violated-policies"] == ["shop"]
        assert options(api, 2, **PREFLIGHT) == [204, 204]  # 3 in all


def test_a_flood_of_preflights_is_limited_by_address(start, issuer):
    gateway = start(**limits({"name": "shop", "key": "address", "burst": 3},
                             {"name": "writes", "key": "address", "burst": 1, "methods": "writes"},
                             {"name": "who", "key": "principal", "burst": 1}),
                    cors={"origins": [TILL]})
    with Api(gateway, issuer.token()) as api:
        first = api.request("OPTIONS", "/v1/me", headers=PREFLIGHT)
        assert parsed(first.headers["ratelimit"])["shop"]["r"] == 2
        assert options(api, 1, "/v1/products", **PREFLIGHT) == options(api, 1, **PREFLIGHT) == [204]
        answer = api.request("OPTIONS", "/v1/products", headers=PREFLIGHT)
        assert assert_problem(answer, 429, "quota-exceeded")["violated-policies"] == ["shop"]
        assert int(answer.headers["retry-after"]) > 0
        assert answer.headers["access-control-allow-origin"] == TILL
        assert statuses(api, 1) == [200]
    text = "OPTIONS /v1/me HTTP/1.1\r\nHost: x\r\nConnection: close\r\nOrigin: %s\r\n" \
           "Access-Control-Request-Method: GET\r\n\r\n" % TILL
    answer, = raw_http1(gateway.http, text.encode(), source="127.0.0.2")
    assert answer.status_code == 204


@pytest.mark.parametrize("path, headers", [
    ("/v1/me", {}), ("/v1/me", {"origin": TILL}),
    ("/v1/me", {**PREFLIGHT, "origin": "https://evil.example"}), ("/v1/nothing", {}),
    ("/v1/nothing", PREFLIGHT), ("/v1//me", PREFLIGHT)])
def test_other_options_count_as_reads(start, issuer, path, headers):
    """What is no preflight that CORS answers; who looks for what is not there is a scanner."""
    gateway = start(**limits({"key": "address", "burst": 2},
                             {"name": "writes", "key": "address", "burst": 1, "methods": "writes"}),
                    cors={"origins": [TILL]})
    with Api(gateway, issuer.token()) as api:
        first, second, third = options(api, 3, path, **headers)
        assert first == second != 429 and third == 429
        assert statuses(api, 1) == [429]


def test_options_without_cors_are_limited(start):
    gateway = start(**limits({"key": "address", "burst": 2}))
    with Api(gateway) as api:
        assert options(api, 3, **PREFLIGHT) == [204, 204, 429]


# ---- exact, over all workers -----------------------------------------------------------------------


class Pipeline:
    """One HTTP/1.1 connection on which many requests are written at once."""

    def __init__(self, gateway, source="127.0.0.1", host="127.0.0.1"):
        self._sock = socket.create_connection((host, gateway.http), 20, (source, 0))
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def statuses(self, requests):
        """What these requests get, (path, further header lines) each."""
        requests = list(requests)
        self._sock.sendall(b"".join(b"GET %s HTTP/1.1\r\nHost: x\r\n%s\r\n" % (
            path.encode(), b"".join(line.encode() + b"\r\n" for line in lines)) for path, lines in requests))
        out, data = [], b""
        while len(out) < len(requests):
            head, separator, rest = data.partition(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].split()[0]) if separator else 0
            if separator and len(rest) >= length:
                out.append(int(head.split(b" ", 2)[1]))
                data = rest[length:]
                continue
            more = self._sock.recv(1 << 18)
            assert more, "the connection has ended: %r" % data[:200]
            data += more
        return out

    def close(self):
        self._sock.close()


class Streams:
    """One HTTP/2 connection on which many requests are under way at once."""

    def __init__(self, gateway, token):
        self._sock = socket.create_connection(("127.0.0.1", gateway.http), 20)
        self._h2 = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self._h2.initiate_connection()
        self._head = [(":method", "GET"), (":scheme", "http"), (":authority", "x"), (":path", "/v1/me"),
                      ("authorization", "Bearer " + token)]

    def statuses(self, n):
        for _ in range(n):
            self._h2.send_headers(self._h2.get_next_available_stream_id(), self._head, end_stream=True)
        out, ended = [], 0
        while ended < n:
            self._sock.sendall(self._h2.data_to_send())
            data = self._sock.recv(1 << 18)
            assert data, "the connection has ended"
            for event in self._h2.receive_data(data):
                if isinstance(event, h2.events.ResponseReceived):
                    out.append(int(dict(event.headers)[":status"]))
                elif isinstance(event, h2.events.DataReceived):
                    self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                ended += isinstance(event, h2.events.StreamEnded)
        return out

    def close(self):
        self._sock.close()


@pytest.mark.parametrize("protocol", ["HTTP/1.1", "HTTP/2"])
def test_a_burst_over_all_workers_admits_the_limit(start, issuer, protocol):
    """H7: burst + rate x time, not that times the workers, whatever is offered."""
    rate, burst, seconds, n = 60, 50, 2.0, 12
    gateway = start(workers=4, **limits({"rate": "%d/s" % rate, "burst": burst}), log={"access": False})
    token = issuer.token()
    bearer = [("/v1/me", ["Authorization: Bearer " + token])]
    began = time.monotonic()

    def one(_):
        counts, answered, asked = collections.Counter(), None, 0
        connection = Streams(gateway, token) if protocol == "HTTP/2" else Pipeline(gateway)
        while time.monotonic() < began + seconds:
            asked = time.monotonic()
            counts.update(connection.statuses(10 if protocol == "HTTP/2" else bearer * 10))
            answered = answered or time.monotonic()
        connection.close()
        return counts, answered, asked

    results = at_once(n, one)
    ended = time.monotonic()
    counts = sum((r[0] for r in results), collections.Counter())
    # Between these two every connection asks, and together they want more than there is.
    first, last = max(r[1] for r in results), min(r[2] for r in results)
    assert counts.keys() == {200, 429} and sum(counts.values()) > scaled(3, 2) * (burst + rate * seconds)
    assert burst + rate * (last - first) - 1 <= counts[200] <= burst + rate * (ended - began) + 1


def test_pipelined_requests_count_each(start, issuer):
    gateway = start(**limits({"burst": 20}))
    with contextlib.closing(Pipeline(gateway)) as pipeline:
        asked = [("/v1/me", ["Authorization: Bearer " + issuer.token()])] * 50
        assert pipeline.statuses(asked) == [200] * 20 + [429] * 30


def test_a_workers_death_forgives_nothing(start, issuer):
    gateway = start(workers=2, **limits({"burst": 3}))
    with Api(gateway, issuer.token()) as api:
        assert statuses(api, 4) == [200, 200, 200, 429]
    dead = set(gateway.workers().values())
    for pid in dead:
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: len(set(gateway.workers().values()) - dead) == 2 and gateway._all_ready())
    with Api(gateway, issuer.token()) as api:
        assert statuses(api, 2) == [429, 429]


# ---- addresses -------------------------------------------------------------------------------------


def from_client(client, path="/v1/nothing"):
    return path, ["X-Forwarded-For: " + client]


def test_an_ipv6_network_is_one_client(start):
    """H7: the /64; and an IPv4 address is the same however it is written."""
    gateway = start(http={"trusted_proxies": ["127.0.0.1"]}, **limits({"key": "address", "burst": 4}))
    with contextlib.closing(Pipeline(gateway)) as pipeline:
        one = [from_client("2001:db8:0:1::%x" % i) for i in range(1, 11)]
        assert pipeline.statuses(one) == [404] * 4 + [429] * 6
        assert pipeline.statuses([from_client("2001:db8:0:1:ffff::9")]) == [429]
        assert pipeline.statuses([from_client("2001:db8:0:2::1")] * 2) == [404, 404]
        assert pipeline.statuses([from_client("198.51.100.7")] * 4) == [404] * 4
        assert pipeline.statuses([from_client("::ffff:198.51.100.7")]) == [429]


def test_ipv6_directly(start):
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no ::1")
    gateway = start(listen=[{"address": "::1", "port": 0}], **limits({"key": "address", "burst": 4}))
    for wanted in (404, 404, 404, 404, 429):
        with contextlib.closing(Pipeline(gateway, "::1", "::1")) as pipeline:
            assert pipeline.statuses([("/v1/nothing", [])]) == [wanted]


def test_forged_addresses_and_many_connections(start):
    """H7: of a peer that is no trusted proxy nothing counts but its own address, over all workers."""
    gateway = start(workers=4, http={"trusted_proxies": ["127.0.0.9"]},
                    **limits({"key": "address", "burst": 30}))

    def ask(i):
        source = "127.0.0.%d" % (2 + i % 2)
        with contextlib.closing(Pipeline(gateway, source)) as pipeline:
            return pipeline.statuses([
                ("/v1/nothing", ["X-Forwarded-For: 203.0.113.%d" % (i * 8 + k),
                                 "Forwarded: for=203.0.113.%d" % (i * 8 + k),
                                 "X-Real-IP: 203.0.113.%d" % (i * 8 + k)]) for k in range(8)])
    answers = at_once(24, ask)
    for mine in (answers[::2], answers[1::2]):
        flat = sum(mine, [])
        assert flat.count(404) == 30 and flat.count(429) == 66


@pytest.mark.heavy
def test_many_addresses_cost_no_memory(start):
    """An abuser is refused before, while and after 100,000 others come; they do not make the table
    grow; few of them have to share. A table that is too small refuses rather than forgets."""
    n, entries = scaled(100000), 262144
    gateway = start(workers=2, http={"trusted_proxies": ["127.0.0.1"]}, log={"access": False},
                    rate_limits={"entries": entries}, **limits({"key": "address", "burst": 2}))
    abuser = [from_client("203.0.113.66")]
    numbers = itertools.count()
    with contextlib.closing(Pipeline(gateway)) as pipeline:

        def others(n):
            batch = itertools.islice(numbers, n)
            return pipeline.statuses([from_client("100.%d.%d.%d" % (
                64 + i // 62500, i // 250 % 250, i % 250)) for i in batch] + abuser)

        assert pipeline.statuses(abuser * 3) == [404, 404, 429]
        others(1000)
        before, size = resident(gateway), gateway.metrics()["tillway_limit_table_bytes"]
        assert 17 * entries <= size <= 17 * entries + (1 << 20)
        counts = collections.Counter()
        for _ in range(n // 500):
            *answers, refused = others(500)
            counts.update(answers)
            assert refused == 429
        grown_kib = resident(gateway) - before
        assert SANITIZED or grown_kib < 2 * size / 1024 + 2048, grown_kib  # its pages, in two workers
        now = gateway.metrics()
        assert now["tillway_limit_table_bytes"] == size
        assert now["tillway_limit_overflows_total"] <= n / 50
        assert counts[429] <= n / 50 and sum(counts.values()) == n


def resident(gateway):
    return sum(resident_kib(pid) for pid in gateway.workers().values())


def test_a_full_table_refuses_and_says_so(start):
    gateway = start(http={"trusted_proxies": ["127.0.0.1"]}, rate_limits={"entries": 1024},
                    **limits({"key": "address", "burst": 1}))
    with contextlib.closing(Pipeline(gateway)) as pipeline:
        asked = [from_client("100.64.%d.%d" % (i // 250, i % 250)) for i in range(3000)]
        first = sum((pipeline.statuses(asked[i:i + 500]) for i in range(0, 3000, 500)), [])
        assert 900 <= first.count(404) <= 1024 + 128  # each entry, and each set's shared bucket
        again = sum((pipeline.statuses(asked[i:i + 500]) for i in range(0, 3000, 500)), [])
        assert again == [429] * 3000, "somebody was forgotten"
    assert gateway.metrics()["tillway_limit_overflows_total"] >= 1900


# ---- requests in progress --------------------------------------------------------------------------


def test_requests_in_progress_of_one_principal(start, issuer, database, shop):
    """Two wait for a lock, the third is told so at once, another principal is not concerned; when
    they are done there is room again."""
    gateway = start(rate_limits={"concurrency": 2}, http={"deadline": "20s"},
                    db={"url": database.url, "write_timeout": "15s", "queue_timeout": "15s"})
    product = shop.product(stock=10)
    sale = {"items": [{"productId": product, "quantity": 1}], "paymentMethod": "cash"}
    token = shop.token(username="ana")

    def sell(i):
        with Api(gateway, token, timeout_s=30) as api:
            return api.sell(sale).status_code

    def while_locked(i):
        if i < 2:
            return sell(i)
        eventually(lambda: gateway.metrics()["tillway_requests_in_flight"] == 2, what="both wait")
        with Api(gateway, token) as api:
            assert_problem(api.sell(sale), 429, "too-many-in-progress")
            assert api.get("/v1/me", token=shop.token(username="bob")).status_code == 200
        lock.rollback()
        return 201

    lock = lock_stock(database, shop)
    assert at_once(3, while_locked) == [201, 201, 201]
    lock.close()
    eventually(lambda: sell(0) == 201, what="their worker has counted them out, a moment behind the answer")
    assert shop.sales() == 3


# ---- refused configurations ------------------------------------------------------------------------


@pytest.mark.parametrize("policy, wanted", [
    ({}, "limits[0].name: is missing"), ({"name": "a b"}, "64 letters"),
    ({"name": "x"}, "limits[0].key: is missing"), ({"name": "x", "key": "tenant"}, "is no key"),
    ({"name": "x", "key": "principal+principal"}, "is no key"),
    ({"name": "x", "key": "address"}, "one of them is needed"),
    ({"name": "x", "key": "address", "rate": "0/s"}, "is no rate"),
    ({"name": "x", "key": "address", "rate": "5"}, "is no rate"),
    ({"name": "x", "key": "address", "rate": "5/w"}, "is no rate"),
    ({"name": "x", "key": "address", "rate": "5/s", "burst": 0}, "is not a number from 1"),
    ({"name": "x", "key": "address", "rate": "5/s", "burst": 2, "cost": 3}, "nothing would ever pass"),
    ({"name": "x", "key": "address", "quota": 2, "cost": 3}, "above the quota"),
    ({"name": "x", "key": "address", "quota": 2, "burst": 3}, "belongs to a rate"),
    ({"name": "x", "key": "address", "rate": "5/s", "methods": "GET"}, "none of all, reads, writes"),
    ({"name": "x", "key": "address", "rate": "5/s", "routes": ["GET /x"]}, '"GET /x" is no route'),
    ({"name": "x", "key": "address", "rate": "5/s", "window": "1s"}, "unknown key"),
    ({"name": "x", "key": "address", "rate": "1/d", "burst": 1000000000}, "takes years")])
def test_refused_policies(config, tmp_path, policy, wanted):
    path = tmp_path / "c.yaml"
    path.write_text(json.dumps(deep_merge(config, {"limits": [policy]})))
    done = run([BINARY, "-t", "-c", str(path)])
    assert done.returncode == 1 and wanted in done.stderr, done.stderr


@pytest.mark.parametrize("first, second, wanted", [
    ({"name": "x"}, {"name": "x"}, "x"), ({"name": "x-day"}, {"name": "x", "quota": 9}, "x-day"),
    ({"name": "x", "quota": 9}, {"name": "x-day"}, "x-day")])
def test_names_differ(config, tmp_path, first, second, wanted):
    path = tmp_path / "c.yaml"
    one = {"key": "address", "rate": "5/s"}
    path.write_text(json.dumps(deep_merge(config, {"limits": [{**one, **first}, {**one, **second}]})))
    assert 'a policy "%s" already' % wanted in run([BINARY, "-t", "-c", str(path)]).stderr
