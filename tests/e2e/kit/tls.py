# SPDX-License-Identifier: Apache-2.0
"""What the tests of TLS share: certificates of servers, clients that check them, openssl's words."""

import socket
import ssl
import subprocess
import types
import uuid

import pytest
from cryptography import x509

from kit.certificates import Authority, rsa_key

VERSIONS = ("TLSv1_2", "TLSv1_3")
AT = {"address": "127.0.0.1", "port": 0}
ME = "GET /v1/me HTTP/1.1\r\nHost: x\r\nX-Request-Id: %s\r\nConnection: close\r\n\r\n"
HANDSHAKES = 'tillway_tls_handshakes_total{version="%s",resumed="%s"}'
FAILURES = 'tillway_tls_handshake_failures_total{reason="%s"}'


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    directory = str(tmp_path_factory.mktemp("tls"))
    ca = Authority(directory, "Servers")
    return types.SimpleNamespace(directory=directory, ca=ca, one=ca.server("one.test", "www.one.test"),
                                 two=ca.server("two.test", "*.two.test"))


def trusting(pki, version=None, alpn=()):
    """A client that checks the chain and, as every request names one, the host name."""
    made = ssl.create_default_context(cafile=pki.ca.pem)
    if version:
        made.minimum_version = made.maximum_version = getattr(ssl.TLSVersion, version)
    if alpn:
        made.set_alpn_protocols(list(alpn))
    return made


def connect(port, tls, name="one.test", session=None):
    raw = socket.create_connection(("127.0.0.1", port), 10)
    try:
        return tls.wrap_socket(raw, server_hostname=name, session=session)
    except Exception:
        raw.close()
        raise


def ask(port, tls, name="one.test", session=None):
    """One request on a connection of its own: .reused, .session, .serial, .id; it must be answered."""
    given = uuid.uuid4().hex
    with connect(port, tls, name, session) as sock:
        sock.sendall((ME % given).encode())
        data = b""
        while chunk := sock.recv(65536):
            data += chunk
        assert data.startswith(b"HTTP/1.1 401 "), data[:200]
        serial = x509.load_der_x509_certificate(sock.getpeercert(True)).serial_number
        return types.SimpleNamespace(reused=sock.session_reused, session=sock.session, serial=serial,
                                     id=given)


def pair(client, **more):
    return {"certificate": client.certificate, "key": client.key, **more}


@pytest.fixture
def serve(start, pki):
    """serve(listener, **changes): a gateway with one listener of that `tls`, or one.test's."""
    def begin(listener=None, **changes):
        return start(listen=[{**AT, "tls": listener or pair(pki.one)}], **changes)
    return begin


def openssl(port, *words, say="", timeout_s=15):
    """s_client's words, on both of its outputs."""
    done = subprocess.run(["openssl", "s_client", "-connect", "127.0.0.1:%d" % port, *words],
                          input=say, capture_output=True, text=True, timeout=timeout_s,
                          errors="replace")
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def named(pki):
    """The first certificate is RSA for one.test, its twin on P-256; then the names of two.test."""
    key = rsa_key()
    twin = pki.ca.server("one.test", "www.one.test", key=key)
    return types.SimpleNamespace(rsa=twin, tls={
        **pair(twin), "certificates": [pair(pki.one), pair(pki.two)]})
