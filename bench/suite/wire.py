# SPDX-License-Identifier: Apache-2.0
"""The bytes of requests, and one HTTP/1.1 connection on which they go one after the other, so that a server
sees the same reads, writes and loop turns each time."""

import json
import socket


def request(method, path, token=None, body=None, **headers):
    """One HTTP/1.1 request as bytes. headers: idempotency_key="…" is Idempotency-Key."""
    lines = ["%s %s HTTP/1.1" % (method, path), "Host: 127.0.0.1"]
    if token:
        lines.append("Authorization: Bearer " + token)
    lines += ["%s: %s" % (name.replace("_", "-"), value) for name, value in headers.items()]
    payload = b""
    if body is not None:
        payload = json.dumps(body, separators=(",", ":")).encode()
        lines += ["Content-Type: application/json", "Content-Length: %d" % len(payload)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + payload


class Wire:
    """with Wire(port) as w: status, body = w.ask(request(…))"""

    def __init__(self, port, timeout_s=60):
        self._socket = socket.create_connection(("127.0.0.1", port), timeout_s)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._rest = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._socket.close()

    def _more(self):
        data = self._socket.recv(1 << 20)
        assert data, "the server has closed the connection after %r" % self._rest[:200]
        self._rest += data

    def ask(self, data):
        """The next answer, which must have a Content-Length: status, body."""
        self._socket.sendall(data)
        while b"\r\n\r\n" not in self._rest:
            self._more()
        head, _, self._rest = self._rest.partition(b"\r\n\r\n")
        lower = head.lower()
        assert b"\r\ncontent-length:" in lower, head
        length = int(lower.split(b"\r\ncontent-length:", 1)[1].split(b"\r\n", 1)[0])
        while len(self._rest) < length:
            self._more()
        body, self._rest = self._rest[:length], self._rest[length:]
        return int(head.split(b" ", 2)[1]), body
