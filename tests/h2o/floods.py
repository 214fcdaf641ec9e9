# SPDX-License-Identifier: Apache-2.0
"""Floods: one HTTP/2 connection that sends as many frames of one kind as it can.

Each kind is a function of (conn, path, headers) that yields what to send, one unit at a time; a
unit is what the server's budget counts. pour() sends units until the server closes the connection
or the count is reached, and tells how far it came. Used against hello (cases.py) and against the
gateway (tests/e2e/test_attacks.py)."""

import select
import struct
import time
from dataclasses import dataclass

from hyperframe.frame import (
    ContinuationFrame, DataFrame, GoAwayFrame, HeadersFrame, PingFrame, PriorityFrame,
    RstStreamFrame, SettingsFrame, WindowUpdateFrame)

from rawh2 import Closed, Connection

CANCEL, STREAM_CLOSED, ENHANCE_YOUR_CALM = 8, 5, 11
RESETS_AT_ONCE, CONTROL_FRAMES_AT_ONCE = 200, 2000      # http2_internal.h
CHUNK_UNITS = 64


@dataclass
class Poured:
    units: int              # sent, of which the last ones may have been too late
    closed: bool            # by the server
    error: object           # of its last GOAWAY, or None
    text: str               # of the same
    seconds: float

    def __str__(self):
        if not self.closed:
            return "%d sent in %.1f s, still open" % (self.units, self.seconds)
        return "closed after at most %d sent (error %s: %s)" % (self.units, self.error, self.text)


# ---- streams that are reset --------------------------------------------------------------------

def _on_each_stream(frame_of, **how):
    def units(conn, path, headers):
        # after the first the block stands in the table
        block = conn.header_block(path, headers, how.get("method", "GET"))
        yield HeadersFrame(1, block, flags=how.get("flags", ("END_STREAM", "END_HEADERS"))
                           ).serialize() + frame_of(1)
        block = conn.header_block(path, headers, how.get("method", "GET"))
        for stream_id in range(3, 2**31, 2):
            yield HeadersFrame(stream_id, block, flags=how.get("flags", (
                "END_STREAM", "END_HEADERS"))).serialize() + frame_of(stream_id)
    return units


RESETS = {
    "rapid reset": _on_each_stream(lambda i: RstStreamFrame(i, error_code=CANCEL).serialize()),
    "WINDOW_UPDATE of 0": _on_each_stream(
        lambda i: WindowUpdateFrame(i, window_increment=1).serialize()[:-4] + bytes(4)),
    "WINDOW_UPDATE that overflows": _on_each_stream(
        lambda i: 2 * WindowUpdateFrame(i, window_increment=2**31 - 1).serialize()),
    "DATA on a half-closed stream": _on_each_stream(lambda i: DataFrame(i, b"x").serialize()),
}

TOO_MANY_STREAMS = _on_each_stream(lambda i: b"", flags=("END_HEADERS",))


# ---- what ends the connection at once ----------------------------------------------------------

def _head_on_half_closed(conn, path, headers):
    block = conn.header_block(path, headers)
    for _ in range(3):
        yield HeadersFrame(1, block, flags=["END_STREAM", "END_HEADERS"]).serialize()


def _self_dependency(conn, path, headers):
    for _ in range(3):
        yield PriorityFrame(1, depends_on=1, stream_weight=1).serialize()


def _broken_block(conn, path, headers):
    for _ in range(3):
        yield HeadersFrame(1, b"\xff" * 8, flags=["END_STREAM", "END_HEADERS"]).serialize()


FATAL = {"HEADERS on a half-closed stream": _head_on_half_closed,
         "a stream that depends on itself": _self_dependency,
         "a broken header block": _broken_block}


# ---- frames that are no work -------------------------------------------------------------------

def _again(frame):
    def units(conn, path, headers):
        data = frame.serialize()
        while True:
            yield data
    return units


def _within_a_post(frame):
    def units(conn, path, headers):
        yield conn.post_frame(1, path, headers).serialize()
        yield from _again(frame)(conn, path, headers)
    return units


def _continuation(frame):
    def units(conn, path, headers):
        block = conn.header_block(path, headers)
        yield HeadersFrame(1, block[:1], flags=["END_STREAM"]).serialize()
        yield from _again(frame)(conn, path, headers)
    return units


def _rst_of_a_closed_stream(conn, path, headers):
    conn.send(conn.get_frame(1, path, headers))
    conn.read_until(lambda: conn.streams[1].ended)
    yield from _again(RstStreamFrame(1, error_code=CANCEL))(conn, path, headers)


class _Unknown:
    def serialize(self):
        return struct.pack(">BHBBL", 0, 0, 0xbb, 0, 0)


CONTROL = {
    "PING": _again(PingFrame(0, opaque_data=b"tillway!")),
    "PING ack": _again(PingFrame(0, opaque_data=b"tillway!", flags=["ACK"])),
    "SETTINGS": _again(SettingsFrame(0)),
    "SETTINGS that move windows": _again(SettingsFrame(0, settings={4: 65535, 5: 16384})),
    "PRIORITY": _again(PriorityFrame(99, depends_on=0, stream_weight=1)),
    "WINDOW_UPDATE": _within_a_post(WindowUpdateFrame(1, window_increment=1)),
    "RST_STREAM of a closed stream": _rst_of_a_closed_stream,
    "GOAWAY": _again(GoAwayFrame(0)),
    "an unknown frame": _again(_Unknown()),
    "empty DATA": _within_a_post(DataFrame(1, b"")),
    "padded DATA": _within_a_post(DataFrame(1, b"", flags=["PADDED"], pad_length=10)),
    "empty CONTINUATION": _continuation(ContinuationFrame(1, b"")),
}


# ---- pouring -----------------------------------------------------------------------------------

def _drain(conn, wait_s=0.0):
    """Takes what has arrived."""
    while select.select([conn.sock], [], [], wait_s)[0] or getattr(conn.sock, "pending", int)():
        conn.read_until(_once(), 0.2)


def _once():
    state = [False, True]
    return lambda: state.pop(0)


def pour_on(conn, units, most, deaf=False):
    """deaf: never reads while it pours."""
    sent, closed, began = 0, False, time.monotonic()
    try:
        chunk = []
        for unit in units:
            chunk.append(unit)
            if len(chunk) == CHUNK_UNITS or sent + len(chunk) == most:
                conn.send(b"".join(chunk))
                sent, chunk = sent + len(chunk), []
                if not deaf:
                    _drain(conn)
            if sent >= most:
                break
        else:
            if chunk:
                conn.send(b"".join(chunk))
                sent += len(chunk)
    except (Closed, TimeoutError):
        closed = True
    try:
        conn.ping(b"are you?", 3.0)
    except (Closed, TimeoutError):
        closed = conn.read_rest()
    last = conn.goaways[-1] if conn.goaways else None
    return Poured(sent, closed, last.error_code if last else None,
                  last.additional_data.decode() if last else "", time.monotonic() - began)


def pour(host, port, kind, path="/", headers=(), most=20000, tls=None, deaf=False, **how):
    with Connection(host, port, tls=tls, **how) as conn:
        conn.read_until(lambda: conn.initial_send_window != 65535, 2.0)     # its SETTINGS
        return pour_on(conn, kind(conn, path, headers), most, deaf)
