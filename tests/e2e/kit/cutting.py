# SPDX-License-Identifier: Apache-2.0
"""A relay before PostgreSQL that ends one conversation after a chosen byte of a request or an answer.

It knows just enough of the protocol (PostgreSQL 15, chapter 55): a Bind of the watched statement begins
the conversation, and the answer is whole with its ReadyForQuery. The server always has its say: what is
cut is what the gateway gets to see."""

import re
import socket
import struct
import threading
import urllib.parse

# What becomes of the connection after the last byte that passes.
CLOSED, SILENT = "closed", "silent"


class Cut:
    """request: bytes of the request that pass, None all; answer: bytes of the answer, None all."""

    def __init__(self, request=None, answer=None, end=CLOSED, before=None):
        """before: SQL that the server is given before the request; its answer goes nowhere."""
        self.request, self.answer, self.end, self.before = request, answer, end, before
        self.total = None  # how many bytes there were of what was cut
        self.let_through = threading.Event()  # the request may pass
        self.let_through.set()
        self.arrived = threading.Event()  # the request is here
        self.done = threading.Event()     # nothing more will pass
        self.silence_is_over = threading.Event()
        self.before_is_done = threading.Event()

    def held(self):
        """The request waits until let_through."""
        self.let_through.clear()
        return self

    def is_whole(self):
        return self.request is None and (self.answer is None or self.answer >= self.total)


class CuttingProxy:
    def __init__(self, url, statement):
        parts = urllib.parse.urlsplit(url)
        self._target = (parts.hostname, parts.port)
        self._watched = re.compile(rb"B....\0" + statement.encode() + rb"\0", re.DOTALL)
        self._listener = socket.create_server(("127.0.0.1", 0))
        port = self._listener.getsockname()[1]
        login = parts.netloc.rpartition("@")[0]
        self.url = parts._replace(netloc="%s@127.0.0.1:%d" % (login, port)).geturl()
        self._lock = threading.Lock()
        self._plans = []
        self._sockets = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def plan(self, cut):
        """For the next request of the watched statement, on whichever connection; in this order."""
        with self._lock:
            self._plans.append(cut)
        return cut

    def close(self):
        _shut(self._listener)
        self._listener.close()
        with self._lock:
            for sock in self._sockets:
                _shut(sock)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._target)
            except OSError:
                return
            for sock in (client, server):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            relay = _Relay(self, client, server)
            with self._lock:
                self._sockets |= {client, server}
            for run in (relay.requests, relay.answers):
                threading.Thread(target=run, daemon=True).start()

    def take_plan(self, data):
        if not self._watched.search(data):
            return None
        with self._lock:
            return self._plans.pop(0) if self._plans else None

    def forget(self, *sockets):
        with self._lock:
            self._sockets -= set(sockets)
        for sock in sockets:
            _shut(sock)
            sock.close()


class _Relay:
    """One connection: a thread for each direction."""

    def __init__(self, proxy, client, server):
        self._proxy, self._client, self._server = proxy, client, server
        self._cut = None
        self._is_over = False  # nothing more passes, though the connection may yet look open
        self._ends = threading.Lock()
        self._ended = 0

    def requests(self):
        try:
            while data := self._client.recv(1 << 20):
                cut = None if self._is_over else self._proxy.take_plan(data)
                if cut:
                    cut.arrived.set()
                    cut.let_through.wait(30)
                    self._cut = cut
                if cut and cut.before:
                    text = cut.before.encode() + b"\0"
                    self._server.sendall(b"Q" + struct.pack(">I", 4 + len(text)) + text)
                    cut.before_is_done.wait(10)
                if cut and cut.request is not None:
                    cut.total = len(data)
                    self._is_over = True
                    self._server.sendall(data[:cut.request])
                    self._finish(cut)
                    break
                self._server.sendall(data)
        except OSError:
            pass
        self._end()

    def answers(self):
        answer = b""
        try:
            while data := self._server.recv(1 << 20):
                cut = self._cut
                if self._is_over:
                    continue
                if cut is None or cut.request is not None:
                    self._client.sendall(data)
                    continue
                answer += data
                end = _end_of_answer(answer)
                if end is None:
                    continue
                if cut.before and not cut.before_is_done.is_set():
                    answer = b""
                    cut.before_is_done.set()
                    continue
                cut.total = end
                if cut.answer is None:
                    self._cut, whole, answer = None, answer, b""
                    cut.done.set()
                    self._client.sendall(whole)  # from now on the next request may come
                    continue
                self._is_over = True  # before anybody hears of it and plans the next
                self._client.sendall(answer[:cut.answer])
                self._finish(cut)
                break
        except OSError:
            pass
        self._end()

    def _finish(self, cut):
        cut.done.set()
        if cut.end == SILENT:
            cut.silence_is_over.wait(30)

    def _end(self):
        for sock in (self._client, self._server):
            _shut(sock)
        with self._ends:
            self._ended += 1
            is_last = self._ended == 2
        if is_last:
            self._proxy.forget(self._client, self._server)


def _shut(sock):
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass


def _end_of_answer(data):
    """Where the first ReadyForQuery ends, or None."""
    at = 0
    while at + 5 <= len(data):
        kind, length = data[at:at + 1], struct.unpack_from(">I", data, at + 1)[0]
        at += 1 + length
        if kind == b"Z" and at <= len(data):
            return at
    return None
