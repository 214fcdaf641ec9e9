# SPDX-License-Identifier: Apache-2.0
"""Clients that count every request that fails, and forgive nothing that a server promised.

They do what good clients do when a server leaves: after `Connection: close` they connect anew; after
a GOAWAY they begin no more streams there, wait for the answers that it covers, and send again on
another connection what it does not cover, as that was not processed (RFC 9113 §6.8). Nothing else is
ever sent twice."""

import socket
import ssl
import threading
import time

import hpack
from hyperframe.frame import (DataFrame, Frame, GoAwayFrame, HeadersFrame, PingFrame,
                              RstStreamFrame, SettingsFrame, WindowUpdateFrame)

from kit.clients import Connection

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
WINDOW = 1 << 24


class Steady:
    """Threads that ask without end, `pause_s` apart. failed: what went wrong; answers: {status: n}."""

    def __init__(self, gateway, token, path, n, pause_s=0.0, ca=None):
        """ca: over TLS, trusting this certificate."""
        self._gateway, self._token, self._path, self._pause_s = gateway, token, path, pause_s
        self._tls = ssl.create_default_context(cafile=ca) if ca else None
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self.failed, self.answers, self.connections, self.retried = [], {}, 0, 0
        self._threads = [threading.Thread(target=self._guarded, daemon=True) for _ in range(n)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive(), "a client hangs"

    @property
    def is_tls(self):
        return self._tls is not None

    @property
    def done(self):
        return sum(self.answers.values())

    def verdict(self):
        """Every request got its 200."""
        assert not self.failed, "%d of %d failed: %s" % (len(self.failed), self.done, self.failed[:5])
        assert set(self.answers) == {200}, self.answers

    def _guarded(self):
        try:
            self._run()
        except Exception as e:  # judged by the test
            self._fail("client ended: %r" % e)

    def _fail(self, what):
        with self._lock:
            self.failed.append("%s: %s" % (time.strftime("%H:%M:%S"), what))

    def _answered(self, status):
        with self._lock:
            self.answers[status] = self.answers.get(status, 0) + 1


class KeptConnections(Steady):
    """HTTP/1.1, as long as the server keeps the connection."""

    keep = True

    def _run(self):
        connection = None
        while not self._stop.is_set():
            if connection is None:
                connection = Connection(self._gateway, self._token, tls=self._tls)
                self.connections += 1
            try:
                status, headers, _ = connection.request("GET", self._path)
                self._answered(status)
                if not self.keep or headers.get("Connection", "").lower() == "close":
                    connection.close()
                    connection = None
            except Exception as e:
                self._fail(repr(e))
                connection = None
            self._stop.wait(self._pause_s)
        if connection:
            connection.close()


class NewConnections(KeptConnections):
    """HTTP/1.1, a connection for each request."""

    keep = False


class Http2(Steady):
    """`streams` requests at a time on each connection. farewells: of each connection that the server has
    ended the last stream that its GOAWAY named, None without one."""

    streams = 4

    def __init__(self, *args, **how):
        super().__init__(*args, **how)
        self.farewells = []

    def _run(self):
        connection, owed = None, 0  # owed: to be sent again
        while not self._stop.is_set() or owed:
            if connection and connection.is_going():
                self.farewells.append(connection.covered)
                connection.close()
                connection = None
            if connection is None:
                connection = self._connect()
            try:
                statuses, refused, lost = connection.ask(self._token, self._path, owed or self.streams)
            except OSError as e:
                self._fail(repr(e))
                connection, owed = None, 0
                continue
            for status in statuses:
                self._answered(status)
            for why in lost:
                self._fail(why)
            owed = refused
            with self._lock:
                self.retried += refused
            if not owed:
                self._stop.wait(self._pause_s)
        if connection:
            connection.close()

    def _connect(self):
        if self._tls:
            self._tls.set_alpn_protocols(["h2"])
        port = self._gateway.https if self._tls else self._gateway.http
        self.connections += 1
        return _Http2Connection(port, self._tls)


class Http2OneByOne(Http2):
    """A connection on which nothing is open whenever the client has read its answer."""

    streams = 1


class _Http2Connection:
    def __init__(self, port, tls=None, timeout_s=10):
        self._sock = socket.create_connection(("127.0.0.1", port), timeout_s)
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._scheme = "https" if tls else "http"
        if tls:
            self._sock = tls.wrap_socket(self._sock, server_hostname="localhost")
            assert self._sock.selected_alpn_protocol() == "h2"
        self._encoder, self._decoder = hpack.Encoder(), hpack.Decoder()
        self._next, self._buffer, self._owed_window = 1, b"", 0
        self.going = False
        self.covered = None  # last stream id of a GOAWAY
        settings = SettingsFrame(0, {SettingsFrame.INITIAL_WINDOW_SIZE: WINDOW, SettingsFrame.ENABLE_PUSH: 0})
        self._sock.sendall(PREFACE + settings.serialize() +
                           WindowUpdateFrame(0, WINDOW - 65535).serialize())

    def close(self):
        self._sock.close()

    def is_going(self):
        """Looks at what has come while nothing was asked: a GOAWAY, perhaps the end."""
        self._sock.setblocking(False)
        try:
            while not self.going:
                data = self._sock.recv(65536)
                if not data:
                    self.going = True
                    break
                self._buffer += data
                for frame in self._frames():
                    self._take(frame, {})
        except (BlockingIOError, ssl.SSLWantReadError):
            pass
        self._sock.settimeout(10)
        return self.going

    def ask(self, token, path, n):
        """(statuses, how many were refused without having been processed, why others were lost)"""
        pending, statuses, lost = {}, [], []
        request = []
        for _ in range(n):
            headers = self._encoder.encode([(":method", "GET"), (":scheme", self._scheme),
                                            (":path", path), (":authority", "x"), ("authorization", "Bearer " + token)])
            frame = HeadersFrame(self._next, headers, flags=("END_HEADERS", "END_STREAM"))
            request.append(frame.serialize())
            pending[self._next] = None
            self._next += 2
        error = None
        try:
            self._sock.sendall(b"".join(request))
        except OSError as e:
            error = e  # what was covered may still be answered
        refused = 0
        while pending:
            if self.covered is not None:
                for stream in [s for s in pending if s > self.covered]:
                    del pending[stream]
                    refused += 1
                if not pending:
                    break
            try:
                data = self._sock.recv(65536)
            except OSError as e:
                error, data = e, b""
            if not data:
                lost += ["stream %d: %r" % (s, error or "end of the connection") for s in pending]
                self.going = True
                break
            self._buffer += data
            for frame in self._frames():
                ended = self._take(frame, pending)
                if ended is None:
                    continue
                status = pending.pop(ended)
                if isinstance(status, int):
                    statuses.append(status)
                elif status == "refused":
                    refused += 1
                else:
                    lost.append("stream %d: %s" % (ended, status))
        if self._owed_window > WINDOW // 2:
            self._sock.sendall(WindowUpdateFrame(0, self._owed_window).serialize())
            self._owed_window = 0
        return statuses, refused, lost

    def _frames(self):
        while len(self._buffer) >= 9:
            frame, length = Frame.parse_frame_header(memoryview(self._buffer[:9]))
            if len(self._buffer) < 9 + length:
                return
            frame.parse_body(memoryview(self._buffer[9:9 + length]))
            self._buffer = self._buffer[9 + length:]
            yield frame

    def _take(self, frame, pending):
        """The stream that the frame ends, or None."""
        if isinstance(frame, GoAwayFrame):
            assert frame.error_code == 0, "GOAWAY with error %d" % frame.error_code
            self.going, self.covered = True, frame.last_stream_id
        elif isinstance(frame, SettingsFrame) and "ACK" not in frame.flags:
            self._sock.sendall(SettingsFrame(0, flags=("ACK",)).serialize())
        elif isinstance(frame, PingFrame) and "ACK" not in frame.flags:
            self._sock.sendall(PingFrame(0, frame.opaque_data, flags=("ACK",)).serialize())
        elif isinstance(frame, HeadersFrame):
            headers = dict(self._decoder.decode(frame.data))
            if frame.stream_id in pending:
                pending[frame.stream_id] = int(headers[":status"])
        elif isinstance(frame, DataFrame):
            self._owed_window += frame.flow_controlled_length
        elif isinstance(frame, RstStreamFrame) and frame.stream_id in pending:
            pending[frame.stream_id] = "refused" if frame.error_code == 7 else "reset %d" % frame.error_code
            return frame.stream_id
        ends = "END_STREAM" in frame.flags
        return frame.stream_id if ends and frame.stream_id in pending else None
