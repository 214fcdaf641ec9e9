# SPDX-License-Identifier: Apache-2.0
"""TLS: what is refused, stalled handshakes, a configuration of no use (FAULTS H8). Real clients:
Python's ssl, openssl s_client, sslscan."""

import contextlib
import json
import os
import re
import socket
import ssl
import subprocess
import time

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from kit.certificates import rsa_key
from kit.gateway import Gateway, deep_merge
from kit.processes import BINARY, eventually, patient, run
from kit.tls import (AT, FAILURES, HANDSHAKES, ME, VERSIONS, ask, connect, named,  # noqa: F401
                     openssl, pair, pki, serve, trusting)

# pylint: disable=redefined-outer-name,unused-import


# ---- what is refused -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def plain(work, config, pki):
    """A gateway for what only looks."""
    tls = {**pair(pki.ca.server("one.test", key=rsa_key())),
           "certificates": [pair(pki.ca.server("one.test")), pair(pki.two)]}
    gateway = Gateway(work, deep_merge(config, {"listen": [AT, {**AT, "tls": tls}]})).start()
    yield gateway
    gateway.stop()


@pytest.mark.parametrize("version, alert", [("-tls1", "protocol version"), ("-tls1_1", "protocol version")])
def test_old_versions_are_refused(plain, version, alert):
    before = plain.metrics()[FAILURES % "refused"]
    text = openssl(plain.https, version, "-cipher", "ALL:@SECLEVEL=0")
    assert "alert " + alert in text, text[:2000]
    eventually(lambda: plain.metrics()[FAILURES % "refused"] == before + 1)


@pytest.mark.parametrize("ciphers", [
    "AES128-GCM-SHA256", "ECDHE-RSA-AES128-SHA", "ECDHE-ECDSA-AES256-SHA384", "DHE-RSA-AES128-GCM-SHA256",
    "AES256-SHA", "NULL", "aNULL"])
def test_weak_ciphers_are_refused(plain, ciphers):
    assert "alert handshake failure" in openssl(plain.https, "-tls1_2", "-cipher", ciphers + ":@SECLEVEL=0")


def test_groups(plain):
    """P-384 costs 20 times as much: only where certificates need it."""
    for group, good in (("X25519", True), ("P-256", True), ("P-384", False), ("P-521", False)):
        text = openssl(plain.https, "-tls1_3", "-groups", group)
        assert ("TLS_AES_256_GCM_SHA384" in text) == good, group
    text = openssl(plain.https, "-tls1_3", "-groups", "P-256:X25519")
    assert "Cipher is TLS_AES_256_GCM_SHA384" in text


def test_a_certificate_on_p384_works(serve, pki):
    gateway = serve(pair(pki.ca.server("one.test", key=ec.generate_private_key(ec.SECP384R1()))))
    for version in VERSIONS:
        ask(gateway.https, trusting(pki, version))


def interactive(path, port, version, *turns):
    """s_client's words, by way of a file, when it is given lines and the server ends the connection. turns:
    (a word of s_client's to wait for, the line), as a command is one read of s_client's."""
    with open(path, "wb") as out, subprocess.Popen(
            ["openssl", "s_client", "-connect", "127.0.0.1:%d" % port, version], stdin=subprocess.PIPE,
            stdout=out, stderr=subprocess.STDOUT) as client:
        try:
            for word, line in turns:
                eventually(lambda w=word: w in path.read_text(errors="replace"), what="%s is said" % word)
                client.stdin.write(line.encode())
                client.stdin.flush()
            client.wait(30)
        finally:
            client.kill()
    return path.read_text(errors="replace")


def test_renegotiation_is_refused(plain, pki, tmp_path):
    """In TLS 1.2, where there is one: it ends the connection, and there was one handshake."""
    done = [HANDSHAKES % ("1.2", resumed) for resumed in ("true", "false")]
    before, workers = sum(plain.metrics()[name] for name in done), plain.workers()
    text = interactive(tmp_path / "said", plain.https, "-tls1_2", ("Verify return code", "R\n"))
    assert "Secure Renegotiation IS supported" in text and "Compression: NONE" in text
    assert "RENEGOTIATING" in text and "error:" in text.partition("RENEGOTIATING")[2], text[-2000:]
    assert sum(plain.metrics()[name] for name in done) == before + 1 and plain.workers() == workers
    ask(plain.https, trusting(pki))


def test_keys_are_updated_on_demand(plain, tmp_path):
    """RFC 8446 4.6.3: what TLS 1.3 has instead."""
    text = interactive(tmp_path / "said", plain.https, "-tls1_3", ("Verify return code", "K\n"), (
        "KEYUPDATE", "GET /v1/me HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"))
    assert "KEYUPDATE" in text and "HTTP/1.1 401" in text, text[-2000:]


def test_alpn(plain, pki):
    """h2 goes before http/1.1; without ALPN HTTP/1.1; of neither: an alert (RFC 7301 3.2)."""
    for offered, wanted in ((["http/1.1", "h2"], "h2"), (["http/1.1"], "http/1.1"), ([], None),
                            (["spdy/3", "http/1.1"], "http/1.1")):
        with connect(plain.https, trusting(pki, alpn=offered)) as sock:
            assert sock.selected_alpn_protocol() == wanted
    with pytest.raises(ssl.SSLError, match="(?i)no.application.protocol"):
        connect(plain.https, trusting(pki, alpn=["spdy/3"]))


def test_what_is_no_tls_is_closed(plain, pki):
    for say in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", os.urandom(64), b"\x16\x03\x01\xff\xff", b"\x80" * 20,
                b"\x16\x03\x01\x00\x04\x01\x00\x00\x00", b"\x15\x03\x01\x00\x02\x02\x28"):
        before = plain.workers()
        with socket.create_connection(("127.0.0.1", plain.https), 10) as sock:
            sock.sendall(say)
            sock.shutdown(socket.SHUT_WR)
            while sock.recv(4096):
                pass
        assert plain.workers() == before
    ask(plain.https, trusting(pki))


def test_sslscan_finds_nothing_weak(plain):
    done = run(["sslscan", "--no-colour", "--show-sigs", "--ocsp", "127.0.0.1:%d" % plain.https],
               timeout_s=120)
    text = done.stdout
    enabled = re.findall(r"^(?:SSL|TLS)v[\d.]+ +enabled$", text, re.M)
    assert [line.split()[0] for line in enabled] == ["TLSv1.2", "TLSv1.3"], text
    accepted = re.findall(r"^(?:Preferred|Accepted) +(TLSv[\d.]+) +(\d+) bits +(\S+)", text, re.M)
    assert {cipher for _, _, cipher in accepted} >= {"TLS_AES_256_GCM_SHA384", "ECDHE-RSA-AES256-GCM-SHA384"}
    for version, bits, cipher in accepted:
        assert int(bits) >= 128 and (version == "TLSv1.3" or re.fullmatch(
            r"ECDHE-(RSA|ECDSA)-(AES(128|256)-GCM-SHA(256|384)|CHACHA20-POLY1305)", cipher)), cipher
    assert "Session renegotiation not supported" in text
    assert len(re.findall(r"not vulnerable to heartbleed", text)) == 2
    signatures = set(re.findall(r"^TLSv1\.3  ((?:ecdsa|rsa|ed)\S+)", text, re.M))
    assert signatures and not any("sha1" in s or "pkcs1" in s for s in signatures), text


# ---- stalled handshakes ----------------------------------------------------------------------------

HELLO = (b"\x16\x03\x01\x00\xc8\x01\x00\x00\xc4\x03\x03" + b"r" * 32 + b"\x00")  # and 200 bytes less


def is_closed(sock):
    sock.setblocking(False)
    try:
        return sock.recv(4096) == b""
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True


def test_a_stalled_handshake_is_closed(serve, pki):
    """Silent, after half a hello, trickling, and between hello and end: one deadline from the accepting."""
    gateway = serve(tls={"handshake_timeout": "1s"})
    began = time.monotonic()
    socks = [socket.create_connection(("127.0.0.1", gateway.https)) for _ in range(4)]
    socks[1].sendall(HELLO)
    ours, theirs = ssl.MemoryBIO(), ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        trusting(pki).wrap_bio(theirs, ours, server_hostname="one.test").do_handshake()
    socks[2].sendall(ours.read())  # a whole hello
    assert socks[2].recv(10)
    trickle = iter(HELLO)

    def all_closed():
        with contextlib.suppress(OSError):
            socks[3].sendall(bytes([next(trickle)]))
        return all(is_closed(sock) for sock in socks) or time.sleep(0.05)

    eventually(all_closed, patient(5))
    assert 0.9 < time.monotonic() - began < patient(3)
    for sock in socks:
        sock.close()
    eventually(lambda: gateway.metrics()["tillway_tls_handshakes_pending"] == 0)
    assert gateway.metrics()[FAILURES % "timeout"] == 4
    ask(gateway.https, trusting(pki))


def test_who_leaves_a_handshake_is_not_late(start, pki):
    """What went before the handshake, such as a PROXY header that came late, is no part of it."""
    gateway = start(listen=[{**AT, "tls": pair(pki.one), "proxyProtocol": True}],
                    http={"trusted_proxies": ["127.0.0.1"]}, tls={"handshake_timeout": "2s"})
    with socket.create_connection(("127.0.0.1", gateway.https)) as sock:
        time.sleep(2.05)  # longer than a handshake may take
        sock.sendall(b"PROXY TCP4 192.0.2.1 127.0.0.1 4711 443\r\n" + HELLO)
        eventually(lambda: gateway.metrics()["tillway_tls_handshakes_pending"] == 1)
    eventually(lambda: gateway.metrics()["tillway_tls_handshakes_pending"] == 0)
    metrics = gateway.metrics()
    assert (metrics[FAILURES % "closed"], metrics[FAILURES % "timeout"]) == (1, 0)


def test_stalled_handshakes_make_way(serve, pki):
    """At the cap the oldest ends: who stalls cannot keep others out."""
    gateway = serve(workers=1, tls={"max_handshakes": 16, "handshake_timeout": "60s"})
    stalled = []
    for i in range(60):
        stalled.append(socket.create_connection(("127.0.0.1", gateway.https)))
        stalled[-1].sendall(HELLO[:i])
        if i % 10 == 9:
            ask(gateway.https, trusting(pki))
    metrics = eventually(lambda: (m := gateway.metrics())[FAILURES % "evicted"] >= 44 and m)
    assert metrics["tillway_tls_handshakes_pending"] <= 16
    eventually(lambda: is_closed(stalled[0]), what="the oldest is closed")
    assert not is_closed(stalled[-1])
    for sock in stalled:
        sock.close()
    eventually(lambda: gateway.metrics()["tillway_connections"] == 0)
    assert gateway.metrics()["tillway_tls_handshakes_pending"] == 0


# ---- the configuration -----------------------------------------------------------------------------


def checked(config, tmp_path, tls):
    path = tmp_path / "c.yaml"
    path.write_text(json.dumps({**config, "listen": [{**AT, "tls": tls}]}))
    return run([BINARY, "-t", "-c", str(path)])


def test_the_configuration_is_printed_as_it_is_read(config, pki, tmp_path, named):
    done = checked(config, tmp_path, {**named.tls, "clientCa": pki.ca.pem})
    assert done.returncode == 0 and done.stderr == "", done.stderr
    line, = [line for line in done.stdout.splitlines() if "tls: {" in line]
    assert line.count("certificate:") == 3 and "certificates: [{certificate: " in line
    again = tmp_path / "again.yaml"
    again.write_text("listen:\n%s\n" % line)
    twice = run([BINARY, "-t", "-c", str(tmp_path / "c.yaml"), "-c", str(again)])
    assert twice.returncode == 0 and line in twice.stdout, twice.stderr


def test_bad_certificates_are_one_line(config, pki, tmp_path):
    twin = pki.ca.server("WWW.one.test", "one.test")
    locked = str(tmp_path / "locked.key")
    run(["openssl", "pkey", "-in", pki.one.key, "-aes128", "-passout", "pass:x", "-out", locked])
    for tls, wanted in (
            ({"certificates": [pair(pki.one), pair(twin)]}, "the same names and kind of key"),
            ({"certificates": [pair(pki.two), {**pair(pki.one), "key": pki.two.key}]}, "not the PEM key of"),
            ({"certificate": pki.one.certificate, "key": locked}, "not the PEM key of"),
            ({"certificate": pki.one.key, "key": pki.one.key}, "not a PEM certificate chain"),
            ({"certificates": [{"certificate": pki.one.certificate}]},
             r"certificates\[0\].key: is missing; TLS needs both"),
            ({"certificates": [{**pair(pki.one), "ocspFile": "/nowhere"}]},
             r"tls.certificates\[0\].ocspFile: cannot read /nowhere"),
            ({"certificates": [pair(pki.one)] * 40}, "at most 31")):
        done = checked(config, tmp_path, tls)
        assert done.returncode == 1 and len(done.stderr.strip().splitlines()) == 1, done.stderr
        assert re.search(wanted, done.stderr), done.stderr
