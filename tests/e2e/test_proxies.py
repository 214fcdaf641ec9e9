# SPDX-License-Identifier: Apache-2.0
"""Who the client is behind load balancers, and how many connections it may have. Rows of FAULTS:
H3 (caps), H7 (forged addresses)."""

import itertools
import json
import os
import signal
import socket
import ssl
import struct

import pytest

from kit.clients import Api, Connection, at_once
from kit.gateway import deep_merge
from kit.processes import BINARY, eventually, run

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


def v2(source="198.51.100.1", command=1, extension=b""):
    body = socket.inet_aton(source) + socket.inet_aton("127.0.0.1") + struct.pack("!HH", 1, 2)
    body += extension
    return SIGNATURE + bytes([0x20 | command, 0x11]) + struct.pack("!H", len(body)) + body


def v1(source="198.51.100.1"):
    return b"PROXY TCP4 %s 127.0.0.1 4711 80\r\n" % source.encode()


def request(token, **headers):
    lines = ["GET /v1/me HTTP/1.1", "Host: x", "Authorization: Bearer " + token, "Connection: close"]
    lines += ["%s: %s" % (name.replace("_", "-"), value) for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def talk(port, parts, tls=None, source="127.0.0.1"):
    """The whole answer to what is sent in these pieces; b"" when the connection is closed."""
    with socket.create_connection(("127.0.0.1", port), 10, (source, 0)) as sock:
        try:
            sock.sendall(parts[0])
            if tls:
                sock = tls.wrap_socket(sock, server_hostname="localhost")
            for part in parts[1:]:
                sock.sendall(part)
            answer = b""
            while chunk := sock.recv(65536):
                answer += chunk
            return answer
        except (ConnectionError, ssl.SSLError):
            return b""


def seen(gateway):
    """(peer, client) of the last request in the log."""
    entry = eventually(lambda: gateway.accesses(path="/v1/me"))[-1]
    return entry["peer"], entry.get("client")


# ---- forwarded headers -----------------------------------------------------------------------------


@pytest.fixture
def behind(start, issuer):
    return start(workers=1, http={"trusted_proxies": ["127.0.0.1", "10.0.0.0/8"]})


@pytest.mark.parametrize("value, client", [
    ("198.51.100.1", "198.51.100.1"), ("203.0.113.66, 198.51.100.1", "198.51.100.1"),
    ("198.51.100.1, 10.1.2.3", "198.51.100.1"), ("nonsense", None), ("2001:db8::1", "2001:db8::1")])
def test_the_client_is_named_from_the_right(behind, issuer, value, client):
    """H7"""
    assert b" 200 " in talk(behind.http, [request(issuer.token(), X_Forwarded_For=value)])
    assert seen(behind) == ("127.0.0.1", client)


def test_header_lines_are_one_list(behind, issuer):
    text = request(issuer.token(), X_Forwarded_For="198.51.100.1").replace(
        b"Connection:", b"X-Forwarded-For: 203.0.113.66\r\nConnection:")  # further left
    assert b" 200 " in talk(behind.http, [text])
    assert seen(behind)[1] == "198.51.100.1"


def test_nobody_else_names_a_client(behind, issuer):
    """H7: 127.0.0.2 is no trusted proxy."""
    text = request(issuer.token(), X_Forwarded_For="198.51.100.1", Forwarded="for=198.51.100.1")
    assert b" 200 " in talk(behind.http, [text], source="127.0.0.2")
    assert seen(behind) == ("127.0.0.2", None)


def test_forwarded_by_option(start, issuer):
    gateway = start(workers=1, http={"trusted_proxies": ["127.0.0.1"], "forwarded_header": "forwarded"})
    text = request(issuer.token(), X_Forwarded_For="203.0.113.66", Forwarded='for="198.51.100.1:99"')
    assert b" 200 " in talk(gateway.http, [text])
    assert seen(gateway)[1] == "198.51.100.1"


def test_bad_tokens_are_counted_by_the_client(start, issuer):
    """H7: one bad client behind the balancer does not shut out the others."""
    gateway = start(auth={"failures": {"rate": 1, "burst": 3}}, http={"trusted_proxies": ["127.0.0.1"]})
    numbers = itertools.count(1)

    def said(client):
        return talk(gateway.http, [request("a.b.c", X_Forwarded_For=client)])[:12]

    assert {said("198.51.100.1") for _ in range(3)} == {b"HTTP/1.1 401"}
    eventually(lambda: said("198.51.100.1") == b"HTTP/1.1 429", what="the burst is used up")
    assert said("198.51.100.2") == b"HTTP/1.1 401"
    # One comes back each second, so it is asked until both are refused: the forged address is new each time.
    eventually(lambda: said("198.51.100.1") == said("203.0.113.%d, 198.51.100.1" % next(numbers))
               == b"HTTP/1.1 429", what="what stands further left counts for nothing")


# ---- PROXY protocol --------------------------------------------------------------------------------


@pytest.fixture
def balanced(start, config, certificate):
    """The first port takes PROXY headers in clear, the second in front of TLS."""
    listen = [{**one, "proxyProtocol": True} for one in config["listen"]]
    return start(workers=1, listen=listen,
                 http={"trusted_proxies": ["127.0.0.1"], "request_timeout": "1s"})


@pytest.mark.parametrize("header, client", [
    (v1(), "198.51.100.1"), (v2(), "198.51.100.1"), (v2(command=0), None),
    (v2(extension=b"\4\0\1x"), "198.51.100.1"), (b"PROXY UNKNOWN\r\n", None)],
    ids=["v1", "v2", "v2-local", "v2-extension", "v1-unknown"])
@pytest.mark.parametrize("pieces", ["at once", "byte by byte"])
def test_proxy_header(balanced, issuer, header, client, pieces):
    text = request(issuer.token())
    parts = [header + text] if pieces == "at once" else [bytes([b]) for b in header] + [text]
    assert b" 200 " in talk(balanced.http, parts)
    assert seen(balanced) == ("127.0.0.1", client)


def test_proxy_header_before_tls(balanced, issuer, certificate):
    tls = ssl.create_default_context(cafile=certificate[0])
    assert b" 200 " in talk(balanced.https, [v2(), request(issuer.token())], tls)
    assert seen(balanced)[1] == "198.51.100.1"


@pytest.mark.parametrize("first", [
    b"GET /v1/me HTTP/1.1\r\nHost: x\r\n\r\n", b"PROXY TCP4 1 2 3 4\r\n", SIGNATURE + b"\x31\x11\0\0",
    b"PROXY TCP4 " + b"1" * 200], ids=["none", "bad-v1", "bad-v2", "endless"])
def test_what_is_no_proxy_header_is_closed(balanced, first):
    assert talk(balanced.http, [first]) == b""


def test_a_slow_proxy_header_is_closed(balanced):
    """H3"""
    with socket.create_connection(("127.0.0.1", balanced.http), 10) as sock:
        sock.sendall(b"PROXY TC")
        assert sock.recv(1) == b""


def test_a_stranger_may_not_use_the_proxies_port(balanced, issuer):
    """H7"""
    assert talk(balanced.http, [v1() + request(issuer.token())], source="127.0.0.2") == b""


@pytest.mark.parametrize("changes, wanted", [
    ({"listen": [{"port": 0, "proxyProtocol": True}]}, "proxyProtocol needs http.trusted_proxies"),
    ({"listen": [{"port": 0, "proxyProtocol": "v2"}]}, "neither true nor false"),
    ({"http": {"trusted_proxies": ["10.0.0.1/8"]}}, "is no network"),
    ({"http": {"trusted_proxies": "10.0.0.0/8"}}, "must be a list")])
def test_refused_configurations(config, tmp_path, changes, wanted):
    path = tmp_path / "c.yaml"
    path.write_text(json.dumps(deep_merge(config, changes)))
    done = run([BINARY, "-t", "-c", str(path)])
    assert done.returncode == 1 and wanted in done.stderr


# ---- caps ------------------------------------------------------------------------------------------


def is_open(sock):
    sock.settimeout(0.2)
    try:
        return sock.recv(1) != b""
    except TimeoutError:
        return True
    except ConnectionError:
        return False


def test_a_peer_has_a_cap_over_all_workers(start, issuer):
    """H3: 10 of 30 connections stay, whichever workers they reach; others are not affected."""
    gateway = start(http={"max_connections_per_peer": 10})
    socks = [socket.create_connection(("127.0.0.1", gateway.http), 5, ("127.0.0.3", 0)) for _ in range(30)]
    refused = 'tillway_connections_refused_total{reason="peer-cap"}'
    eventually(lambda: gateway.metrics()[refused] == 20, what="20 are refused")
    eventually(lambda: sum(at_once(30, lambda i: is_open(socks[i]))) == 10, what="10 of them stay")
    with Api(gateway, issuer.token()) as api:  # 127.0.0.1
        assert api.get("/v1/me").status_code == 200
    for sock in socks:
        sock.close()
    eventually(lambda: gateway.metrics()["tillway_connections"] <= 1)
    again = socket.create_connection(("127.0.0.1", gateway.http), 5, ("127.0.0.3", 0))
    assert is_open(again)
    again.close()


def test_a_worker_that_dies_gives_its_connections_back(start, issuer):
    """P1"""
    gateway = start(workers=1, http={"max_connections_per_peer": 4})
    socks = [socket.create_connection(("127.0.0.1", gateway.http), 5) for _ in range(4)]
    eventually(lambda: gateway.metrics()["tillway_connections"] == 4)
    os.kill(victim := gateway.workers()[0], signal.SIGKILL)
    eventually(lambda: gateway.workers().get(0, victim) != victim and gateway.is_ready(), what="it has a successor")
    with Api(gateway, issuer.token()) as api:
        assert api.get("/v1/me").status_code == 200
    for sock in socks:
        sock.close()


def test_at_the_machines_cap_idle_connections_give_way(start, issuer):
    """P6: accepting pauses without spinning, idle keep-alives close, new clients are served."""
    gateway = start(workers=1, http={"max_connections": 20})
    held = [Connection(gateway, issuer.token()) for _ in range(20)]
    assert {c.request("GET", "/v1/me")[0] for c in held} == {200}
    for _ in range(3):  # each finds a place, as older ones are closed
        with Api(gateway, issuer.token()) as api:
            assert api.get("/v1/me").status_code == 200
    assert gateway.metrics()["tillway_connections"] <= 20
    eventually(lambda: gateway.events("accept_paused"), what="it is told")
    for connection in held:
        connection.close()
