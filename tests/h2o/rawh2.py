# SPDX-License-Identifier: Apache-2.0
"""A raw HTTP/2 client for attacks: it sends the frames it is told to, in the
order it is told to, and reads only when asked. python3-h2 would refuse most of
what the attacks need, so this stands on hyperframe (frames) and hpack only."""

import array
import contextlib
import fcntl
import socket
import ssl
import termios
import time
from dataclasses import dataclass, field

from hpack import Decoder, Encoder
from hyperframe.frame import (
    ContinuationFrame, DataFrame, Frame, GoAwayFrame, HeadersFrame, PingFrame,
    RstStreamFrame, SettingsFrame, WindowUpdateFrame)

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
BODY_KEPT_BYTES = 1024
FRAME_MAX_BYTES = 16384          # the server's SETTINGS_MAX_FRAME_SIZE
CONNECTION_WINDOW_ROOM = 2**31 - 1 - 65535


class Closed(Exception):
    """The server closed or reset the connection."""


@dataclass
class Outcome:
    """What an attack saw. `survived`: the server went on serving this very
    connection as the RFC asks. A false one says why in `detail`."""

    survived: bool
    detail: str
    numbers: dict = field(default_factory=dict)

    def __str__(self):
        return "%s: %s" % ("survived" if self.survived else "FAILED", self.detail)


@dataclass
class Stream:
    status: int = 0
    body_len: int = 0
    body: bytes = b""        # its beginning
    headers: dict = field(default_factory=dict)
    ended: bool = False
    resets: list = field(default_factory=list)      # error codes of RST_STREAM, in order
    send_window: int = 0                            # what we may still send, in bytes

    @property
    def reset(self):
        return bool(self.resets)


class Connection:
    """One connection. After construction the preface and our SETTINGS are sent."""

    def __init__(self, host, port, initial_window=65535, timeout_s=10.0, small_socket=False,
                 tls=None, acknowledge=False, preface=None):
        """small_socket: advertise the smallest window and segments the kernel
        allows, so that the server's socket is full after some ten kilobytes.
        tls: an ssl.SSLContext whose ALPN offers h2, or None for h2c.
        acknowledge: give the windows back with two WINDOW_UPDATEs for each DATA.
        preface: what to send instead of the preface and our SETTINGS."""
        self.authority = "%s:%d" % (host, port)
        self.scheme = "https" if tls else "http"
        self.timeout_s = timeout_s
        self.streams = {}
        self.send_window = self.initial_send_window = 65535
        self.goaways = []
        self.pings = set()
        self.settings = {}      # the server's
        self.acknowledge, self.acknowledged = acknowledge, 0
        self._in = b""
        self._encoder = Encoder()
        self._decoder = Decoder()
        self._blocks = {}
        self._tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        if small_socket:
            self._tcp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
            self._tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)
        self._tcp.settimeout(timeout_s)
        try:
            self._tcp.connect((host, port))
            self._tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if tls:  # the wrapped socket takes the descriptor over
                self._tcp = tls.wrap_socket(self._tcp, server_hostname=host)
            self.sock = self._tcp
            settings = SettingsFrame(settings={SettingsFrame.INITIAL_WINDOW_SIZE: initial_window,
                                               SettingsFrame.ENABLE_PUSH: 0})
            window = WindowUpdateFrame(0, window_increment=CONNECTION_WINDOW_ROOM)
            self._send(preface or PREFACE + settings.serialize() + window.serialize())
        except BaseException:
            self._tcp.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    # --- sending --------------------------------------------------------------

    def _send(self, data):
        try:
            self.sock.sendall(data)
        except (BrokenPipeError, ConnectionResetError, ssl.SSLError) as e:
            raise Closed(str(e)) from e

    def send(self, *frames):
        for f in frames:
            if isinstance(f, DataFrame):
                self.send_window -= f.flow_controlled_length
                self.streams[f.stream_id].send_window -= f.flow_controlled_length
        self._send(b"".join(f if isinstance(f, bytes) else f.serialize() for f in frames))

    def header_block(self, path, headers=(), method="GET"):
        """Values are indexed, so that a repeated token is one byte."""
        fields = [(":method", method), (":scheme", self.scheme), (":authority", self.authority),
                  (":path", path)]
        fields += [(k.lower(), v) for k, v in dict(headers or {}).items()]
        return self._encoder.encode(fields)

    def _open(self, stream_id):
        self.streams[stream_id] = Stream(send_window=self.initial_send_window)

    def get_frame(self, stream_id, path, headers=(), depends_on=0):
        self._open(stream_id)
        return HeadersFrame(stream_id, self.header_block(path, headers), depends_on=depends_on,
                            stream_weight=15, flags=["END_STREAM", "END_HEADERS", "PRIORITY"])

    def post_frame(self, stream_id, path, headers=()):
        """The head of a POST; DATA is to follow."""
        self._open(stream_id)
        return HeadersFrame(stream_id, self.header_block(path, headers, "POST"),
                            flags=["END_HEADERS"])

    def trailers_frame(self, stream_id):
        return HeadersFrame(stream_id, self._encoder.encode([("x-trailer", "1")]),
                            flags=["END_HEADERS", "END_STREAM"])

    def split_trailers_frames(self, stream_id):
        block = self._encoder.encode([("x-trailer", "1")])
        return (HeadersFrame(stream_id, block[:1], flags=["END_STREAM"]),
                ContinuationFrame(stream_id, block[1:], flags=["END_HEADERS"]))

    def send_data(self, stream_id, length, end=False, timeout_s=None):
        """`length` bytes of body within the windows the server gives us, END_STREAM
        on the last. Stops early when the stream is reset; False when time is up."""
        stream = self.streams[stream_id]
        while length > 0 and not stream.reset:
            room = min(length, FRAME_MAX_BYTES, self.send_window, stream.send_window)
            if room <= 0:
                if not self.read_until(lambda: stream.reset or min(
                        self.send_window, stream.send_window) > 0, timeout_s):
                    return False
                continue
            length -= room
            self.send(DataFrame(stream_id, bytes(room),
                                flags=["END_STREAM"] if end and length == 0 else []))
        return True

    def split_get_frames(self, stream_id, path, headers=()):
        """A GET in two frames: HEADERS without END_HEADERS, and its CONTINUATION."""
        self._open(stream_id)
        block = self.header_block(path, headers)
        return (HeadersFrame(stream_id, block[:1], flags=["END_STREAM"]),
                ContinuationFrame(stream_id, block[1:], flags=["END_HEADERS"]))

    # --- receiving ------------------------------------------------------------

    def open_window(self):
        """Let the kernel take what the server has for us, after small_socket."""
        self._tcp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)

    def wait_quiet(self, quiet_s=0.06):
        """Until the number of bytes waiting in our kernel has not changed for
        quiet_s; they stay there. Returns that number."""
        buf = array.array("i", [0])
        deadline = time.monotonic() + self.timeout_s
        last, since = -1, time.monotonic()
        while time.monotonic() < deadline:
            fcntl.ioctl(self._tcp.fileno(), termios.FIONREAD, buf)
            if buf[0] != last:
                last, since = buf[0], time.monotonic()
            elif last > 0 and time.monotonic() - since >= quiet_s:
                break
            time.sleep(0.005)
        return last

    def read_until(self, condition, timeout_s=None):
        """Reads frames until condition() is true. False when time is up;
        raises Closed when the server goes first."""
        deadline = time.monotonic() + (self.timeout_s if timeout_s is None else timeout_s)
        while not condition():
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            self.sock.settimeout(left)
            try:
                data = self.sock.recv(65536)
            except TimeoutError:
                return False
            except OSError as e:
                raise Closed(str(e)) from e
            finally:
                self.sock.settimeout(self.timeout_s)
            if not data:
                raise Closed("end of file")
            self._in += data
            self._parse()
        return True

    def read_rest(self, timeout_s=5.0):
        """Whatever still comes, until the server closes. False when it does not."""
        try:
            self.read_until(lambda: False, timeout_s)
            return False
        except Closed:
            return True

    def ping(self, opaque=b"tillway!", timeout_s=None):
        """True when the server answers a PING, behind everything sent before."""
        self.pings.discard(opaque)
        self.send(PingFrame(0, opaque_data=opaque))
        return self.read_until(lambda: opaque in self.pings, timeout_s)

    def _parse(self):
        while len(self._in) >= 9:
            frame, length = Frame.parse_frame_header(memoryview(self._in[:9]))
            if len(self._in) < 9 + length:
                break
            frame.parse_body(memoryview(self._in[9:9 + length]))
            self._in = self._in[9 + length:]
            self._on_frame(frame)

    def _on_frame(self, frame):
        stream = self.streams.get(frame.stream_id, Stream())
        if isinstance(frame, (HeadersFrame, ContinuationFrame)):
            block = self._blocks.get(frame.stream_id, b"") + frame.data
            self._blocks[frame.stream_id] = block
            if "END_HEADERS" in frame.flags:
                del self._blocks[frame.stream_id]
                stream.headers = dict(self._decoder.decode(block))
                stream.status = int(stream.headers[":status"])
        elif isinstance(frame, DataFrame):
            stream.body_len += len(frame.data)
            stream.body += frame.data[:BODY_KEPT_BYTES - len(stream.body)]
            if self.acknowledge and frame.flow_controlled_length:
                self.send(*(WindowUpdateFrame(i, window_increment=frame.flow_controlled_length)
                            for i in (0, frame.stream_id)))
                self.acknowledged += 2
        elif isinstance(frame, RstStreamFrame):
            stream.resets.append(frame.error_code)
        elif isinstance(frame, GoAwayFrame):
            self.goaways.append(frame)
        elif isinstance(frame, PingFrame) and "ACK" in frame.flags:
            self.pings.add(frame.opaque_data)
        elif isinstance(frame, WindowUpdateFrame):
            if frame.stream_id == 0:
                self.send_window += frame.window_increment
            else:
                stream.send_window += frame.window_increment
        elif isinstance(frame, SettingsFrame) and "ACK" not in frame.flags:
            self.settings.update(frame.settings)
            window = frame.settings.get(SettingsFrame.INITIAL_WINDOW_SIZE,
                                        self.initial_send_window)
            for other in self.streams.values():
                other.send_window += window - self.initial_send_window
            self.initial_send_window = window
            with contextlib.suppress(Closed):   # what came with it is still to be read
                self.send(SettingsFrame(flags=["ACK"]))
        if "END_STREAM" in frame.flags:
            stream.ended = True
