# SPDX-License-Identifier: Apache-2.0
"""Who may reach the admin port, by which name, and how much of it he can take."""

import socket

import pytest

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
