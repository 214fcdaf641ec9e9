# SPDX-License-Identifier: Apache-2.0
"""Patches 010 to 014: what one HTTP/2 connection may ask for. Run by cases.py, like those there."""

import time

from hyperframe.frame import ContinuationFrame, DataFrame, HeadersFrame, PingFrame, RstStreamFrame

import floods
from casebook import PATCHED, UNPATCHED, assert_idle, case, start
from rawh2 import Closed, Connection

MIB = 1 << 20


def served(server):
    """How many requests have reached the handler."""
    with Connection(server.host, server.port) as conn:
        conn.send(conn.get_frame(1, "/served"))
        assert conn.read_until(lambda: conn.streams[1].ended), "the server does not answer"
        return int(conn.streams[1].body)


def answer(conn, stream_id, timeout_s=5.0):
    """Status of the stream's answer, which must come."""
    assert conn.read_until(lambda: conn.streams[stream_id].ended, timeout_s), "no answer"
    return conn.streams[stream_id].status


# --- 010: the end of a connection -------------------------------------------------------------

def end_a_deaf_connection(server):
    """Answers fill the socket, then comes a connection error, then as many bytes as possible. What
    the server's memory grew by at its highest, and whether the connection was closed."""
    before = server.peak_bytes()
    with Connection(server.host, server.port, initial_window=2**31 - 1, small_socket=True,
                    timeout_s=2.0) as conn:
        conn.send(*(conn.get_frame(i, "/") for i in range(1, 21, 2)))
        conn.wait_quiet()
        conn.send(PingFrame(0, opaque_data=b"8 bytes!").serialize()[:5] + b"\0\0\0\1" + bytes(8))
        deadline, is_closed = time.monotonic() + 4, False
        while time.monotonic() < deadline and not is_closed:
            try:
                conn.send(bytes(256 * 1024))
            except TimeoutError:
                pass
            except Closed:
                is_closed = True
        return server.peak_bytes() - before, is_closed


@case(needs=UNPATCHED)
def closing_unpatched():
    with start(UNPATCHED, MIB) as server:
        grown, is_closed = end_a_deaf_connection(server)
    assert grown > 32 * MIB and not is_closed, "%d KiB, closed: %s" % (grown >> 10, is_closed)
    return "%d MiB read into memory after GOAWAY, still open" % (grown >> 20)


@case(needs=PATCHED)
def closing_patched():
    with start(PATCHED, MIB) as server:
        grown, is_closed = end_a_deaf_connection(server)
        assert grown < 4 * MIB and is_closed, "%d KiB, closed: %s" % (grown >> 10, is_closed)
        return "closed, %d KiB more memory, %s" % (grown >> 10, assert_idle(server))


def last_answer_of_a_drain(server):
    """The bytes that arrive of a body of 64 KiB when a drain ends behind a full socket."""
    with Connection(server.host, server.port, initial_window=2**31 - 1, small_socket=True) as conn:
        conn.send(conn.get_frame(1, "/"))
        conn.wait_quiet()
        server.begin_shutdown()
        time.sleep(1.5)         # the second GOAWAY comes after a second, and cannot be seen
        conn.open_window()
        try:
            conn.read_until(lambda: conn.streams[1].ended)
        except Closed:
            pass
        return conn.streams[1].body_len, conn.streams[1].ended


@case(needs=PATCHED)
def closing_whole_answer_patched():
    with start(PATCHED, 65536) as server:
        length, ended = last_answer_of_a_drain(server)
        assert ended and length == 65536, "%d bytes of 65536" % length
        return "%d bytes of 65536 arrive, %s" % (length, assert_idle(server))


# --- 011: resets ------------------------------------------------------------------------------

RESETS = 2000


@case(needs=UNPATCHED)
def resets_unpatched():
    seen = []
    for name, kind in floods.RESETS.items():
        with start(UNPATCHED, 60) as server:
            poured = floods.pour(server.host, server.port, kind, most=RESETS)
            count = served(server)
        assert not poured.closed and count == RESETS, "%s: %s, %d handled" % (name, poured, count)
        seen.append("%s: %d handled" % (name, count))
    return "; ".join(seen)


@case(needs=PATCHED)
def resets_patched():
    seen = []
    for name, kind in floods.RESETS.items():
        with start(PATCHED, 60) as server:
            poured = floods.pour(server.host, server.port, kind, most=RESETS)
            count = served(server)
            assert poured.closed and poured.error == floods.ENHANCE_YOUR_CALM, "%s: %s" % (
                name, poured)
            assert count <= floods.RESETS_AT_ONCE + 10, "%s: %d handled" % (name, count)
            idle = assert_idle(server)
        seen.append("%s: %d handled" % (name, count))
    return "; ".join(seen) + "; " + idle


@case(needs=PATCHED)
def resets_fatal_patched():
    for name, kind in floods.FATAL.items():
        with start(PATCHED, 60) as server:
            poured = floods.pour(server.host, server.port, kind, most=10)
            assert poured.closed and poured.error, "%s: %s" % (name, poured)
            assert served(server) <= 1, name
    return "the connection ends with " + ", ".join(floods.FATAL)


@case(needs=PATCHED)
def resets_refused_patched():
    """Streams beyond the hundred that are allowed cost a quarter: 800 of them."""
    with start(PATCHED, 60) as server:
        poured = floods.pour(server.host, server.port, floods.TOO_MANY_STREAMS, most=900, deaf=True)
        assert not poured.closed, str(poured)
        poured = floods.pour(server.host, server.port, floods.TOO_MANY_STREAMS, most=5000)
        assert poured.closed and poured.error == floods.ENHANCE_YOUR_CALM, str(poured)
        return "%d handled, %s" % (served(server), assert_idle(server))


@case(needs=PATCHED)
def honest_cancels_patched():
    """A hundred at once, twice; then one every 60 ms for 2 s."""
    with start(PATCHED, 60) as server, Connection(server.host, server.port) as conn:
        ids = iter(range(1, 10**6, 2))

        def cancel(n):
            batch = [next(ids) for _ in range(n)]
            conn.send(*(conn.get_frame(i, "/") for i in batch),
                      *(RstStreamFrame(i, error_code=floods.CANCEL) for i in batch))
        cancel(100)
        cancel(99)
        for _ in range(34):
            time.sleep(0.06)
            cancel(1)
        last = next(ids)
        conn.send(conn.get_frame(last, "/"))
        assert answer(conn, last) == 200
    return "233 cancelled, then served"


# --- 012: CONTINUATION ------------------------------------------------------------------------

def continue_another_stream(server):
    """Half a POST on stream 1, half a head on stream 3, CONTINUATION on stream 1."""
    with Connection(server.host, server.port) as conn:
        conn.send(conn.post_frame(1, "/"), DataFrame(1, b"x" * 100))
        head, tail = conn.split_trailers_frames(3)
        conn._open(3)
        conn.send(head, ContinuationFrame(1, tail.data, flags=["END_HEADERS"]))
        conn.read_rest(1.0)
        return conn.streams[1], conn.goaways


@case(needs=UNPATCHED)
def continuation_unpatched():
    with start(UNPATCHED, 60) as server:
        stream, goaways = continue_another_stream(server)
        assert not goaways and stream.status == 200, "%s %s" % (stream, goaways)
    return "half a POST is answered %d %r" % (stream.status, stream.body[:10])


@case(needs=PATCHED)
def continuation_patched():
    with start(PATCHED, 60) as server:
        stream, goaways = continue_another_stream(server)
        assert goaways and b"another stream" in goaways[-1].additional_data, "%s %s" % (
            stream, goaways)
        with Connection(server.host, server.port) as conn:
            conn.read_until(lambda: conn.settings)      # its acknowledgement may not come between
            conn.send(HeadersFrame(1, conn.header_block("/"), flags=["END_STREAM"]))
            try:
                for sent in range(1, 9):
                    conn.send(ContinuationFrame(1, b"\x00\x01a\x7f\x81\x7e" + b"v" * 16378))
                    conn.read_until(lambda: conn.goaways, 0.2)
            except Closed:
                pass
            assert conn.read_rest() and conn.goaways, "after %d frames" % sent
            assert conn.goaways[-1].error_code == floods.ENHANCE_YOUR_CALM, conn.goaways
        return "PROTOCOL_ERROR; after %d frames of a large block ENHANCE_YOUR_CALM; %s" % (
            sent, assert_idle(server))


# --- 013: header lists ------------------------------------------------------------------------

def bomb(server, streams=100, fields=16000):
    """Memory taken by requests whose heads are one field over and over, one byte each."""
    served(server)              # code is memory too, once it has run
    before = server.peak_bytes()
    with Connection(server.host, server.port) as conn:
        conn.send(conn.get_frame(1, "/", {"x-bomb": "b" * 8}))
        assert answer(conn, 1) == 200
        block = conn.header_block("/", {"x-bomb": "b" * 8})
        block += block[-1:] * fields
        try:
            for i in range(streams):    # heads without an end stay in memory
                conn.send(HeadersFrame(3 + 2 * i, block, flags=["END_HEADERS"]))
            conn.ping()
        except Closed:
            conn.read_rest()
        return server.peak_bytes() - before, conn.goaways


@case(needs=UNPATCHED)
def headers_bomb_unpatched():
    with start(UNPATCHED, 60) as server:
        grown, goaways = bomb(server)
    assert grown > 64 * MIB and not goaways, "%d KiB" % (grown >> 10)
    return "%d MiB for 1.6 MB" % (grown >> 20)


@case(needs=PATCHED)
def headers_bomb_patched():
    with start(PATCHED, 60) as server:
        grown, goaways = bomb(server)
        assert goaways and goaways[-1].error_code == floods.ENHANCE_YOUR_CALM
        assert grown < 3 * MIB, "%d KiB" % (grown >> 10)
        milder, goaways = bomb(server, fields=390)      # 431 on each stream
        assert not goaways and milder < 3 * MIB, "%d KiB" % (milder >> 10)
        return "%d KiB, the connection is closed; %d KiB for 100 times 431, %s" % (
            grown >> 10, milder >> 10, assert_idle(server))


def status_of_head(server, fields, body=False, trailers=()):
    """(status, whether the connection goes on) of a request with these fields besides four."""
    with Connection(server.host, server.port) as conn:
        conn._open(1)
        block = conn._encoder.encode([(":method", "POST" if body else "GET"), (":scheme", "http"),
                                      (":authority", "a"), (":path", "/"), *fields])
        parts = [block[i:i + 16384] for i in range(0, len(block), 16384)]
        flags = [] if body else ["END_STREAM"]
        conn.send(HeadersFrame(1, parts[0], flags=flags + ["END_HEADERS"] * (len(parts) == 1)),
                  *(ContinuationFrame(1, part, flags=["END_HEADERS"] * (part is parts[-1]))
                    for part in parts[1:]))
        if trailers:
            conn.send(DataFrame(1, b"x"), HeadersFrame(1, conn._encoder.encode(trailers), flags=[
                "END_STREAM", "END_HEADERS"]))
        elif body:
            conn.send(DataFrame(1, b"x", flags=["END_STREAM"]))
        status = answer(conn, 1)
        conn.send(conn.get_frame(3, "/", {"x-new": "1"}))   # the table is in step
        return status, answer(conn, 3) == 200


@case(needs=PATCHED)
def headers_limits_patched():
    crumbs = [("cookie", "c%d=v" % i) for i in range(101)]
    names = [("x-%d" % i, "v") for i in range(101)]
    size = 16384 - sum(32 + len(n) + len(v) for n, v in (
        (":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/"), ("x", "")))
    with start(PATCHED, 60) as server:
        for what, expected, how in (
                ("100 fields", 200, {"fields": names[:100]}), ("101", 431, {"fields": names}),
                ("100 crumbs", 200, {"fields": crumbs[:100]}), ("101", 431, {"fields": crumbs}),
                ("all of 16 KiB", 200, {"fields": [("x", "v" * size)]}),
                ("one more", 431, {"fields": [("x", "v" * (size + 1))]}),
                ("60 KiB", 431, {"fields": [("x", "v" * 60000)]}),
                ("with a body", 431, {"fields": names, "body": True}),
                ("in trailers", 431, {"fields": [], "body": True, "trailers": names})):
            status, goes_on = status_of_head(server, **how)
            assert status == expected and goes_on, "%s: %d, goes on: %s" % (what, status, goes_on)
        with Connection(server.host, server.port) as conn:
            conn.read_until(lambda: conn.settings.get(6))
            assert conn.settings[6] == 16384
        return "100 fields and 16 KiB pass, more is 431 and the connection stays; %s" % (
            assert_idle(server))


# --- 014: frames that are no work -------------------------------------------------------------

FRAMES = 20000


@case(needs=UNPATCHED)
def control_unpatched():
    for name, kind in floods.CONTROL.items():
        with start(UNPATCHED, 60) as server:
            poured = floods.pour(server.host, server.port, kind, most=FRAMES)
            # a PING within a header block is an error of the client, and shows that it was open
            assert not poured.closed or poured.text == "expected CONTINUATION frame", "%s: %s" % (
                name, poured)
    return "%d each of %s" % (FRAMES, ", ".join(floods.CONTROL))


@case(needs=PATCHED)
def control_patched():
    seen = []
    for name, kind in floods.CONTROL.items():
        for deaf in False, True:
            with start(PATCHED, 60) as server:
                before = server.peak_bytes()
                poured = floods.pour(server.host, server.port, kind, most=FRAMES, deaf=deaf)
                assert poured.closed and poured.error == floods.ENHANCE_YOUR_CALM, "%s: %s" % (
                    name, poured)
                grown = server.peak_bytes() - before
                assert grown < MIB, "%s: %d KiB" % (name, grown >> 10)
                seen.append(grown)
                if deaf:
                    idle = assert_idle(server)
    return "closed, at most %d KiB each; %s" % (max(seen) >> 10, idle)


@case(needs=PATCHED)
def honest_pings_patched():
    """2,700 PINGs in 30 s are more than the budget at once, and 90 times what the honest send."""
    with start(PATCHED, 60, env={"HELLO_IDLE_MS": "60000"}) as server, \
            Connection(server.host, server.port) as conn:
        began, sent = time.monotonic(), 0
        while sent < 2700:
            time.sleep(max(0, began + sent / 90 - time.monotonic()))
            conn.send(*(PingFrame(0, opaque_data=b"%08d" % (sent + i)) for i in range(9)))
            sent += 9
            assert conn.read_until(lambda: b"%08d" % (sent - 1) in conn.pings)
        return "%d PINGs in %.0f s are answered" % (sent, time.monotonic() - began)


@case(needs=PATCHED)
def honest_downloads_patched():
    """Two WINDOW_UPDATEs for each kilobyte of 40 MiB; then a body of 3,000 times 20 bytes."""
    with start(PATCHED, MIB) as server, Connection(server.host, server.port, initial_window=1024,
                                                   acknowledge=True) as conn:
        for i in range(40):
            conn.send(conn.get_frame(1 + 2 * i, "/"))
            assert answer(conn, 1 + 2 * i, 30) == 200 and conn.streams[1 + 2 * i].body_len == MIB
        conn.send(conn.post_frame(101, "/"))
        conn.send(*(DataFrame(101, b"x" * 20) for _ in range(3000)))
        conn.send(DataFrame(101, b"", flags=["END_STREAM"]))
        assert answer(conn, 101) == 200 and conn.streams[101].body == b"got 60000"
        return "%d WINDOW_UPDATEs sent, all served" % conn.acknowledged
