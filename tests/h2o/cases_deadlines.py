# SPDX-License-Identifier: Apache-2.0
"""Patches 008, 015 and 017: how long one HTTP/2 connection may take. Run by
cases.py, like those there. hello's timeouts are short here: 1 s, seen to once a second."""

import os
import subprocess
import tempfile
import time

from hyperframe.frame import (
    ContinuationFrame, DataFrame, HeadersFrame, PingFrame, WindowUpdateFrame)

from casebook import PATCHED, UNPATCHED, assert_idle, case, start
from rawh2 import Closed, Connection

LATE_S = 4.0        # by then a timeout of 1 s has passed, whatever else the machine does
HERE = os.path.dirname(os.path.realpath(__file__))
SHORT = {"HELLO_IDLE_MS": "1000", "HELLO_REQUEST_MS": "1000", "HELLO_SEND_MS": "1000"}


def trickle(conn, pieces, until, most_s=LATE_S, pause_s=0.1):
    """Sends the pieces one by one. Seconds until the condition is met or the connection is closed,
    or None."""
    began = time.monotonic()
    try:
        for piece in pieces:
            conn.send(piece)
            if conn.read_until(until, pause_s):
                return time.monotonic() - began
            if time.monotonic() - began > most_s:
                return None
    except Closed:
        conn.read_rest()
        return time.monotonic() - began
    return None


def many(frame):
    while True:
        yield frame


def late_head(server):
    with Connection(server.host, server.port) as conn:
        conn.read_until(lambda: conn.settings)
        conn.send(HeadersFrame(1, conn.header_block("/")[:1], flags=["END_STREAM"]))
        return trickle(conn, many(ContinuationFrame(1, b"")), lambda: False), conn.goaways


def late_frame(server):
    with Connection(server.host, server.port) as conn:
        conn.send(conn.post_frame(1, "/"), DataFrame(1, bytes(1000)).serialize()[:9])
        return trickle(conn, many(b"x"), lambda: conn.goaways), conn.goaways


def late_preface(server):
    with Connection(server.host, server.port, preface=b"PRI * HTTP/2.0\r\n\r\n") as conn:
        return trickle(conn, [b"SM\r\n"] + [b""] * 40, lambda: False), conn.goaways


def idle_with_pings(server):
    with Connection(server.host, server.port) as conn:
        conn.send(conn.get_frame(1, "/"))
        return trickle(conn, many(PingFrame(0, opaque_data=b"tillway!")), lambda: False), conn.goaways


def late_body(server):
    """The body trickles; then the connection goes on with another request."""
    with Connection(server.host, server.port) as conn:
        conn.send(conn.post_frame(1, "/"))
        seconds = trickle(conn, many(DataFrame(1, b"x" * 20)), lambda: conn.streams[1].ended)
        if seconds is None:
            return None, 0, False
        conn.send(DataFrame(1, b"x"), conn.get_frame(3, "/"))
        return (seconds, conn.streams[1].status,
                conn.read_until(lambda: conn.streams[3].ended, 0.5))


def closed_window(server, others=False):
    """A response that may not be sent. others: of a connection where other responses are read.
    Seconds until the stream is reset or the connection closed, and which of both."""
    with Connection(server.host, server.port, initial_window=0) as conn:
        conn.send(conn.get_frame(1, "/"))
        pieces = many(PingFrame(0, opaque_data=b"tillway!"))
        if others:
            pieces = (b"".join((conn.get_frame(i, "/").serialize(),
                                WindowUpdateFrame(i, window_increment=2**20).serialize()))
                      for i in range(3, 10**6, 2))
        seconds = trickle(conn, pieces, lambda: conn.streams[1].reset)
        return seconds, conn.streams[1].resets, conn.goaways


TRICKLES = {"a head": late_head, "a frame": late_frame, "PINGs alone": idle_with_pings}


@case(needs=UNPATCHED)
def late_unpatched():
    with start(UNPATCHED, 60, env=SHORT) as server:
        for name, attack in TRICKLES.items():
            seconds, goaways = attack(server)
            assert seconds is None and not goaways, "%s: closed after %.1f s" % (name, seconds)
        assert late_body(server)[0] is None
        assert closed_window(server)[0] is None
    return "still open after %.0f s: %s, a body, a closed window" % (LATE_S, ", ".join(TRICKLES))


@case(needs=PATCHED)
def late_patched():
    seen = []
    with start(PATCHED, 60, env=SHORT) as server:
        for name, attack in {**TRICKLES, "a preface": late_preface}.items():
            seconds, _ = attack(server)
            assert seconds is not None, "%s: still open" % name
            seen.append("%s %.1f s" % (name, seconds))
        seconds, status, goes_on = late_body(server)
        assert status == 408 and goes_on, "body: %s, goes on: %s" % (status, goes_on)
        seen.append("a body %.1f s (408)" % seconds)
        seconds, resets, goaways = closed_window(server)
        assert seconds is not None and not resets and goaways, "window: %s %s" % (resets, goaways)
        seen.append("a window %.1f s" % seconds)
        seconds, resets, goaways = closed_window(server, others=True)
        assert seconds is not None and resets == [8] and not goaways, "window: %s" % resets
        seen.append("one of several windows %.1f s (CANCEL)" % seconds)
        idle = assert_idle(server)
    return "%s; %s" % (", ".join(seen), idle)


@case(needs=PATCHED)
def honest_slow_patched():
    """Slower than all the timeouts together, yet never for long: a body in 0.8 s after 0.8 s of
    nothing, three times, and a download whose window opens every 0.5 s."""
    with start(PATCHED, 4096, env=SHORT) as server, \
            Connection(server.host, server.port, initial_window=512) as conn:
        for i in range(1, 7, 2):
            time.sleep(0.8)
            conn.send(conn.post_frame(i, "/"))
            for _ in range(8):
                time.sleep(0.1)
                conn.send(DataFrame(i, b"x"))
            conn.send(DataFrame(i, b"", flags=["END_STREAM"]))
            assert conn.read_until(lambda: conn.streams[i].ended) and conn.streams[i].status == 200
        conn.send(conn.get_frame(7, "/"))
        while not conn.read_until(lambda: conn.streams[7].ended, 0.5):
            conn.send(WindowUpdateFrame(7, window_increment=512))
        assert conn.streams[7].body_len == 4096
    return "three bodies and a download are served"


# --- 008, 017: the clock ----------------------------------------------------------------------

def served_and_alive(which, env, before_ping=lambda: None):
    """Whether a connection that was served just now is still there after before_ping()."""
    with tempfile.TemporaryDirectory() as directory:
        library = os.path.join(directory, "step.so")
        subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", library,
                        os.path.join(HERE, "clock_step.c"), "-ldl"], check=True)
        with start(which, 60, env={"LD_PRELOAD": library, **env, "ASAN_OPTIONS":
                                   "verify_asan_link_order=0"}) as server:
            try:
                with Connection(server.host, server.port) as conn:
                    conn.send(conn.get_frame(1, "/"))
                    assert conn.read_until(lambda: conn.streams[1].ended) and conn.ping()
                    before_ping()
                    for _ in range(10):     # the loop has been round then
                        with Connection(server.host, server.port) as other:
                            assert other.ping()
                    return conn.ping(timeout_s=3.0)
            except Closed:
                return False


def step_of_the_clock(which):
    """The same when the time of day is set by an hour in between."""
    with tempfile.TemporaryDirectory() as directory:
        stepped = os.path.join(directory, "stepped")
        return served_and_alive(which, {"CLOCK_STEPPED": stepped}, lambda: os.mkdir(stepped))


@case(needs=UNPATCHED)
def clock_unpatched():
    assert not step_of_the_clock(UNPATCHED)
    return "set forwards by an hour, it closes the connection of a client that was just served"


@case(needs=PATCHED)
def clock_patched():
    assert step_of_the_clock(PATCHED)
    return "set forwards by an hour: nothing happens"


@case(needs=PATCHED)
def clock_young_patched():
    assert served_and_alive(PATCHED, {"CLOCK_YOUNG": "1"})
    return "a machine that has been up for a second: nothing happens"
