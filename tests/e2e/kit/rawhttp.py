# SPDX-License-Identifier: Apache-2.0
"""Raw HTTP/1 bytes over clear TCP or TLS, and what came back: for requests no client would send."""

import json
import socket
import ssl
import time

OVERS = ("clear", "TLS")


class Answer:
    def __init__(self, status, headers, body):
        self.status_code, self.headers, self.content = status, headers, body
        self.text = body.decode("utf-8", "replace")

    def json(self):
        return json.loads(self.content)


class Broken(AssertionError):
    """What came is no sequence of HTTP/1.1 answers."""


def split(data, methods=()):
    """[Answer]: final ones and 100s. methods: of the requests; a HEAD's answer has no body."""
    answers, methods = [], list(methods)
    while data:
        head, separator, rest = data.partition(b"\r\n\r\n")
        if not separator:
            raise Broken("half a head: %r" % data[:200])
        first, *lines = head.decode("latin-1").split("\r\n")
        if not first.startswith("HTTP/1.1 "):
            raise Broken("no status line: %r" % data[:200])
        headers = {k.lower(): v for k, v in (line.split(": ", 1) for line in lines)}
        status = int(first.split(" ")[1])
        method = methods.pop(0) if methods and status >= 200 else ""
        length = 0 if status < 200 or status in (204, 304) or method == "HEAD" else int(
            headers["content-length"])
        if len(rest) < length:
            raise Broken("half a body: %r" % data[:400])
        answers.append(Answer(status, headers, rest[:length]))
        data = rest[length:]
    return answers


class Raw:
    """with Raw(gateway, "TLS") as raw: raw.send(bytes); raw.rest()"""

    def __init__(self, gateway, over="clear", timeout_s=10):
        port = gateway.https if over == "TLS" else gateway.http
        self._timeout_s = timeout_s
        self.sock = socket.create_connection(("127.0.0.1", port), timeout_s)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if over == "TLS":
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            context.set_alpn_protocols(["http/1.1"])
            self.sock = context.wrap_socket(self.sock)
        self.was_reset = False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def send(self, data):
        """False when the other side has had enough."""
        try:
            self.sock.sendall(data)
            return True
        except OSError:
            return False

    def half_close(self):
        try:
            if isinstance(self.sock, ssl.SSLSocket):
                return  # its close would end both directions
            self.sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def rest(self, timeout_s=None, until=None):
        """Every byte until the other side ends, `until` is in it, or the time is over
        (`.ended` tells)."""
        data, self.ended = b"", False
        deadline = time.monotonic() + (timeout_s or self._timeout_s)
        while (left := deadline - time.monotonic()) > 0 and not (until and until in data):
            self.sock.settimeout(left)
            try:
                chunk = self.sock.recv(65536)
            except (socket.timeout, TimeoutError):
                break
            except ssl.SSLError:
                chunk = b""
            except ConnectionError:
                self.was_reset, chunk = True, b""
            if not chunk:
                self.ended = True
                break
            data += chunk
        return data


def exchange(gateway, data, over="clear", timeout_s=10, methods=()):
    """Sends these bytes on a connection of their own: (answers, whether the other side ended it)."""
    with Raw(gateway, over, timeout_s) as raw:
        raw.send(data)
        received = raw.rest()
        return split(received, methods), raw.ended
