# SPDX-License-Identifier: Apache-2.0
"""Who may reach the admin port, by which name, and how much of it he can take."""

import socket
import threading

import pytest

from kit.processes import eventually
from kit.rawhttp import split

PAGES = ("GET /config", "GET /status.json", "GET /", "GET /metrics", "POST /reload", "GET /nothing")


def exchange(gateway, host, line, version="1.1", address="127.0.0.1"):
    """What comes back on a connection by this address. host: None sends no Host."""
    field = "" if host is None else "Host: %s\r\n" % host
    with socket.create_connection((address, gateway.admin), 20) as sock:
        sock.sendall(("%s HTTP/%s\r\n%sConnection: close\r\n\r\n" % (line, version, field)).encode())
        data = b""
        while chunk := sock.recv(65536):
            data += chunk
    return data


def status_of(data):
    return int(data.split(b" ", 2)[1])


def ask(gateway, host, line="GET /config", address="127.0.0.1"):
    answer, = split(exchange(gateway, host, line, address=address))
    return answer


@pytest.fixture
def other_address():
    """An address of this machine that is not loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect(("192.0.2.1", 9))  # sends nothing
        except OSError:
            pytest.skip("this machine has no other address")
        return sock.getsockname()[0]


@pytest.mark.parametrize("line", PAGES)
def test_another_sites_name_is_refused(gateway, line):
    """DNS rebinding: a page whose name was made to point to 127.0.0.1 reads nothing and reloads nothing."""
    before = len(gateway.events("reloaded"))
    answer = ask(gateway, "rebound.example:%d" % gateway.admin, line)
    assert answer.status_code == 421 and answer.json()["code"] == "misdirected"
    assert answer.headers["content-type"] == "application/problem+json"
    assert "db:" not in answer.text and len(gateway.events("reloaded")) == before


@pytest.mark.parametrize("host", [
    "rebound.example", "localhost.rebound.example", "notlocalhost", "127.0.0.1.rebound.example",
    "[::1].rebound.example", "[rebound.example]", "127.1", "rebound.example:", "::1:80", "local",
    "localhost:80:80", "127.0.0.1:80:80"])
def test_what_is_no_name_of_ours(gateway, host):
    assert ask(gateway, host, "GET /livez").status_code == 421


@pytest.mark.parametrize("host", [
    "127.0.0.1", "127.0.0.1:9464", "localhost", "LocalHost:1", "till.localhost:9464", "[::1]:9464", "[::1]",
    "10.1.2.3:9464", "[2001:db8::7]", "", None, socket.gethostname(), socket.gethostname() + ":9464"])
def test_addresses_and_names_of_this_machine_pass(gateway, host):
    """Probes ask by address, kubectl port-forward and ssh -L as localhost; who sends no Host is no browser."""
    assert ask(gateway, host, "GET /livez").status_code == 200


def test_http_1_0_needs_no_host(gateway):
    assert status_of(exchange(gateway, None, "GET /livez", "1.0")) == 200
    assert status_of(exchange(gateway, "rebound.example", "GET /livez", "1.0")) == 421


def test_who_comes_by_another_address_says_what_he_likes(start, other_address):
    """Prometheus asks by a service's name."""
    gateway = start(until="live", admin={"address": "0.0.0.0"})
    assert ask(gateway, "tillway.shop.svc:9464", "GET /metrics", address=other_address).status_code == 200
    assert ask(gateway, "tillway.shop.svc:9464", "GET /metrics").status_code == 421


# ---- how much of it one may take --------------------------------------------------------------------


class Trickle:
    """Clients that send a byte of their request now and then, for as long as they may."""

    def __init__(self, gateway, n):
        self._stop = threading.Event()
        self.open = set()
        for _ in range(n):
            sock = socket.create_connection(("127.0.0.1", gateway.admin), 20)
            sock.setblocking(False)
            self.open.add(sock)
            self._send(sock, b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
        self._thread = threading.Thread(target=self._run)

    def _send(self, sock, data):
        try:
            sock.send(data)
            if sock.recv(4096) == b"":
                self._end(sock)
        except BlockingIOError:
            pass
        except OSError:
            self._end(sock)

    def _end(self, sock):
        self.open.discard(sock)
        sock.close()

    def _run(self):
        while not self._stop.wait(0.5):
            for sock in list(self.open):
                self._send(sock, b"x")

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()
        for sock in list(self.open):
            self._end(sock)


@pytest.fixture
def scarce(start):
    """A gateway with fewer descriptors than there will be clients."""
    return start(prefix=["prlimit", "--nofile=256:256"])


def test_many_slow_clients_lock_nobody_out(scarce):
    with Trickle(scarce, 300):
        assert ask(scarce, "localhost", "GET /livez").status_code == 200
        assert "tillway_workers 2" in ask(scarce, "localhost", "GET /metrics").text
        answer = ask(scarce, "localhost", "POST /reload")
        assert answer.status_code == 200, answer.text
    assert not scarce.events("admin_accept_failed")


def test_a_request_that_does_not_arrive_is_not_waited_for(gateway):
    """However busy it is: silence is not what ends it."""
    with Trickle(gateway, 3) as slow:
        eventually(lambda: not slow.open, 120, what="they were all sent away")
