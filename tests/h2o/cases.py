#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The proof of deps/h2o/patches: each attack against hello on the unpatched
library, which must fall, and on the patched one, which must not.

A case is a function of no argument that raises AssertionError or returns what
it measured. test_defects.py runs them under pytest; as a program (prove.sh)
this prints one line each, of those whose names begin with a word of its command line if there is
one. The binaries come from the environment:
TILLWAY_H2O_HELLO (patched) and TILLWAY_H2O_HELLO_UNPATCHED."""

import os
import socket
import ssl
import subprocess
import sys
import tempfile
import time

import defect_abort
import defect_drain
import defect_loop
import defect_stderr
import entity_too_large
import http1_edge
from casebook import BUSY_PERCENT, CASES, PATCHED, UNPATCHED, assert_idle, case, start

ABORT_BODIES = (60, 4096, 40000)    # bytes: three frames for the last
ATTEMPTS = 3
ENTITY_MAX, ENTITY_ROUNDS = 10000, 120      # the library remembers 100 of them
DISCARDED_MIB, DISCARD_BYTES_MAX = 100, 20 << 20     # the body, and the memory it may take
FRAMES = 1000
REFUSED_STREAM = 7
HEAD_MAX = 65536        # H2O_MAX_REQLEN of build.sh
BAD_HEADS = {"malformed": b"GET / HTTP/1.1 nonsense\r\n\r\n",
             "too large": b"GET / HTTP/1.1\r\nX: " + b"x" * 500000}

# --- defect 1: abort ------------------------------------------------------------

@case(needs=UNPATCHED)
def abort_unpatched():
    seen = []
    for body_len in ABORT_BODIES:
        with start(UNPATCHED, body_len) as server:
            outcome = defect_abort.attack(server.host, server.port, body_len=body_len,
                                          attempts=ATTEMPTS)
            ended = server.wait_dead() if not outcome.survived else None
            assert ended == "SIGABRT", "%d bytes: %s (%s)" % (body_len, outcome, ended)
            assert "update_stream_output_window" in server.stderr()
            seen.append("%d bytes: attempt %d" % (body_len, outcome.numbers["attempts"]))
    return "SIGABRT each time (%s)" % ", ".join(seen)


@case(needs=PATCHED)
def abort_patched():
    responses = 0
    for body_len in ABORT_BODIES:
        with start(PATCHED, body_len) as server:
            outcome = defect_abort.attack(server.host, server.port, body_len=body_len,
                                          attempts=ATTEMPTS)
            assert outcome.survived, "%d bytes: %s" % (body_len, outcome)
            responses += outcome.numbers["responses"]
            idle = assert_idle(server)
    return "%d whole responses in %d attempts, %s" % (
        responses, ATTEMPTS * len(ABORT_BODIES), idle)


# --- defect 2: endless loop -----------------------------------------------------

@case(needs=UNPATCHED)
def loop_unpatched():
    with start(UNPATCHED) as server:
        outcome = defect_loop.attack(server.host, server.port,
                                     begin_shutdown=server.begin_shutdown)
        assert not outcome.survived, str(outcome)
        busy = server.cpu_percent()
        assert busy > BUSY_PERCENT, "%s, but %.0f %% CPU" % (outcome, busy)
    return "%s; the client has left and it uses %.0f %% CPU" % (outcome.detail, busy)


@case(needs=PATCHED)
def loop_patched():
    with start(PATCHED) as server:
        outcome = defect_loop.attack(server.host, server.port,
                                     begin_shutdown=server.begin_shutdown)
        assert outcome.survived, str(outcome)
        return "%s, %s" % (outcome.detail, assert_idle(server))


# --- defect 6: stderr -----------------------------------------------------------

@case(needs=UNPATCHED)
def stderr_unpatched():
    with start(UNPATCHED) as server:
        outcome = defect_stderr.attack(server.host, server.port, FRAMES)
        lines = defect_stderr.lines(server.stderr())
        assert outcome.survived and lines == FRAMES, "%s, %d lines" % (outcome, lines)
    return "%d frames, %d lines on stderr" % (FRAMES, lines)


@case(needs=PATCHED)
def stderr_patched():
    with start(PATCHED) as server:
        outcome = defect_stderr.attack(server.host, server.port, FRAMES)
        assert outcome.survived, str(outcome)
        return "%d frames, nothing on stderr, %s" % (FRAMES, assert_idle(server))


# --- a request body that arrives during the shutdown -----------------------------

def drain(which, **how):
    """(outcome, server): 2,000 bytes, half of them after the GOAWAY."""
    with start(which) as server:
        outcome = defect_drain.attack(server.host, server.port, body=b"x" * 2000,
                                      begin_shutdown=server.begin_shutdown, **how)
        return outcome, assert_idle(server)


@case(needs=UNPATCHED)
def drain_unpatched():
    lost, _ = drain(UNPATCHED)
    assert not lost.survived, str(lost)
    cut, _ = drain(UNPATCHED, trailers=True, hold_path="/")
    assert cut.survived and cut.numbers["body"] == b"got 1000", str(cut)
    return "POST: %s; with trailers, 2000 bytes sent: %s" % (lost.detail, cut.detail)


@case(needs=PATCHED)
def drain_patched():
    for how in ({}, {"trailers": True}, {"hold_path": "/"}, {"trailers": True, "hold_path": "/"}):
        outcome, idle = drain(PATCHED, **how)
        assert outcome.survived, "%s: %s" % (how, outcome)
        assert outcome.numbers["body"] == b"got 2000", "%s: %s" % (how, outcome)
    return "4 of 4 whole: %s, %s" % (outcome.detail, idle)


# --- a body that is too large -----------------------------------------------------

@case(needs=UNPATCHED)
def entity_unpatched():
    with start(UNPATCHED, entity_max=ENTITY_MAX) as server:
        sent = entity_too_large.attack(server.host, server.port, entity_max=ENTITY_MAX,
                                       ways=["unannounced"])
        assert not sent.survived and sent.numbers["resets"][0] == REFUSED_STREAM, str(sent)
        told = entity_too_large.attack(server.host, server.port, entity_max=ENTITY_MAX,
                                       ways=["announced"], timeout_s=1)
        assert not told.survived, str(told)
        idle = assert_idle(server)
    return "RST_STREAM(REFUSED_STREAM); %s; %s" % (told.detail, idle)


@case(needs=PATCHED)
def entity_patched():
    with start(PATCHED, entity_max=ENTITY_MAX) as server:
        every = entity_too_large.attack(server.host, server.port, entity_max=ENTITY_MAX)
        assert every.survived, str(every)
        assert every.numbers["headers"]["x-filtered"] == "1", every.numbers
        quick = [w for w in entity_too_large.WAYS if not w.startswith(("held_", "long_", "many_"))]
        row = entity_too_large.attack(server.host, server.port, entity_max=ENTITY_MAX,
                                      ways=quick, rounds=ENTITY_ROUNDS)
        assert row.survived, str(row)
        twice = entity_too_large.attack(server.host, server.port, entity_max=ENTITY_MAX, rounds=3,
                                        ways=["many_at_once"])      # 135 cancelled
        assert twice.survived, str(twice)
        entity_too_large.abandon(server.host, server.port, entity_max=ENTITY_MAX)
        return "413, %s; %s; %s" % (every.detail, row.detail, assert_idle(server))


@case(needs=PATCHED)
def entity_unkept_patched():
    freed_at_once = {"ASAN_OPTIONS": "quarantine_size_mb=1"}     # should it be a sanitized one
    with start(PATCHED, entity_max=ENTITY_MAX, env=freed_at_once) as server:
        before = server.peak_bytes()
        entity_too_large.pour(server.host, server.port, DISCARDED_MIB)
        grown = server.peak_bytes() - before
        assert grown < DISCARD_BYTES_MAX, "%d KiB more memory" % (grown >> 10)
        return "%d MiB thrown away in %d KiB, %s" % (DISCARDED_MIB, grown >> 10,
                                                     assert_idle(server))


@case(needs=PATCHED)
def entity_drain_patched():
    with start(PATCHED, entity_max=ENTITY_MAX) as server:
        outcome = entity_too_large.attack_drain(server.host, server.port, entity_max=ENTITY_MAX,
                                                begin_shutdown=server.begin_shutdown)
        assert outcome.survived, str(outcome)
        return "%s, %s" % (outcome.detail, assert_idle(server))


# --- the raw 400 ----------------------------------------------------------------

def bad_head(server, request):
    """(head, body) of the reply to bytes that are no request; the server closes."""
    with socket.create_connection((server.host, server.port), timeout=5) as sock:
        sock.sendall(request)
        reply, deadline = b"", time.monotonic() + 5
        while time.monotonic() < deadline:
            try:
                data = sock.recv(4096)
            except ConnectionResetError:
                break               # it closed with bytes of ours unread
            if not data:
                break
            reply += data
    head, _, body = reply.partition(b"\r\n\r\n")
    return head.decode().split("\r\n"), body


@case(needs=UNPATCHED)
def raw_400_unpatched():
    with start(UNPATCHED) as server:
        for name, request in BAD_HEADS.items():
            head, body = bad_head(server, request)
            assert head[0] == "HTTP/1.1 400 Bad Request" and body == b"Bad Request", name
    return "text/plain"


@case(needs=PATCHED)
def raw_400_patched():
    with start(PATCHED) as server:
        for name, request in BAD_HEADS.items():
            head, body = bad_head(server, request)
            status = "431 Request Header Fields Too Large" if name == "too large" else "400 Bad Request"
            assert head[0] == "HTTP/1.1 " + status, "%s: %r" % (name, head)
            assert "x-filtered: 1" in head and "Connection: close" in head, name
            assert "Content-Length: %d" % len(body) in head, name
        return "filtered, for a %s head, %s" % (" and a ".join(BAD_HEADS), assert_idle(server))


@case(needs=PATCHED)
def head_limit_patched():
    with start(PATCHED) as server:
        for length, status in ((HEAD_MAX, "200 OK"), (HEAD_MAX + 1, "431 Request Header")):
            begin = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX: "
            head, _ = bad_head(server, begin + b"x" * (length - len(begin) - 4) + b"\r\n\r\n")
            assert head[0].startswith("HTTP/1.1 " + status), "%d bytes: %r" % (length, head)
        return "a head of %d bytes is served, %d are not; %s" % (
            HEAD_MAX, HEAD_MAX + 1, assert_idle(server))


# --- the edge of HTTP/1 --------------------------------------------------------------

def edge_case(name, attack, needs):
    def function():
        with start(needs, entity_max=ENTITY_MAX) as server:
            wrong = attack(server)
            if needs == PATCHED:
                assert not wrong, wrong
                return assert_idle(server)
            assert wrong and server.alive(), "it does not fall"
            return "%d are answered otherwise: %s" % (len(wrong), ", ".join(wrong))
    function.__name__ = "%s_%s" % (name, "patched" if needs == PATCHED else "unpatched")
    return function


for edge_name, edge_attack in http1_edge.ATTACKS.items():
    for edge_needs in (UNPATCHED, PATCHED):
        case(needs=edge_needs)(edge_case(edge_name, edge_attack, edge_needs))


# --- the alert of a failed handshake -----------------------------------------------

def alert_for_tls12(which):
    """What a client of TLS 1.2 hears from a server that speaks 1.3 only; and the server's state."""
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    with tempfile.TemporaryDirectory() as directory:
        pem = os.path.join(directory, "hello.pem")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                        "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=localhost",
                        "-keyout", pem, "-out", pem + ".cert"], check=True, capture_output=True)
        with open(pem, "a", encoding="ascii") as out, open(pem + ".cert", encoding="ascii") as cert:
            out.write(cert.read())
        with start(which, env={"HELLO_PEM": pem}) as server:
            for client.maximum_version in (ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2):
                try:
                    with socket.create_connection((server.host, server.port), timeout=5) as sock:
                        version = client.wrap_socket(sock).version()
                        assert version == "TLSv1.3", version
                except OSError as e:  # ssl.SSLError is one
                    heard = str(e)
            return heard, assert_idle(server)


@case(needs=UNPATCHED)
def alert_unpatched():
    heard, idle = alert_for_tls12(UNPATCHED)
    assert "EOF" in heard or "reset" in heard, heard
    return "%s; %s" % (heard, idle)


@case(needs=PATCHED)
def alert_patched():
    heard, idle = alert_for_tls12(PATCHED)
    assert "alert protocol version" in heard, heard
    return "%s; %s" % (heard, idle)


import cases_deadlines  # noqa: E402,F401 - they add to CASES
import cases_http2  # noqa: E402,F401


def main():
    failed, wanted = 0, [f for f in CASES if not sys.argv[1:] or f.__name__.startswith(
        tuple(sys.argv[1:]))]
    for function in wanted:
        began = time.monotonic()
        try:
            verdict, detail = "ok  ", function()
        except (AssertionError, OSError, RuntimeError) as e:
            verdict, detail, failed = "FAIL", e, failed + 1
        print("%s %-21s %s [%.1f s]" % (verdict, function.__name__, detail,
                                        time.monotonic() - began), flush=True)
    print("%d passed, %d failed" % (len(wanted) - failed, failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
