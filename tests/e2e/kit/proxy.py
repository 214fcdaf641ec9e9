# SPDX-License-Identifier: Apache-2.0
"""A TCP relay whose port exists before anybody listens on it: a database that is not there yet, that
goes, that says nothing."""

import selectors
import socket
import threading
import urllib.parse


class Proxy:
    """port is taken at once but refuses connections until open(); close() ends every connection."""

    def __init__(self, host, port):
        self._target = (host, port)
        self._reserve = socket.socket()
        self._reserve.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._reserve.bind(("127.0.0.1", 0))  # bound, not listening: connections are refused
        self.port = self._reserve.getsockname()[1]
        self._listener = None
        self._thread = None
        self.silent = threading.Event()  # set: bytes wait in the relay

    @classmethod
    def before(cls, url):
        """(proxy, the database URL that goes through it)"""
        parts = urllib.parse.urlsplit(url)
        proxy = cls(parts.hostname, parts.port)
        login = parts.netloc.rpartition("@")[0]
        return proxy, parts._replace(netloc="%s@127.0.0.1:%d" % (login, proxy.port)).geturl()

    def open(self):
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._reserve.close()
        self._listener.bind(("127.0.0.1", self.port))
        self._listener.listen(128)
        self._wake, self._waker = socket.socketpair()
        self._thread = threading.Thread(target=self._relay, daemon=True)
        self._thread.start()

    def close(self):
        if self._thread:
            self._waker.close()
            self._thread.join(10)
            self._thread = None
        self._reserve.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _relay(self):
        with selectors.DefaultSelector() as sel:
            sel.register(self._listener, selectors.EVENT_READ)
            sel.register(self._wake, selectors.EVENT_READ)
            peers = {}
            while True:
                for key, _ in sel.select(0.05):
                    sock = key.fileobj
                    if sock is self._wake:
                        for one in [*peers, self._listener, self._wake]:
                            one.close()
                        return
                    if self.silent.is_set():
                        self.silent.wait(0.01)
                        continue
                    if sock is self._listener:
                        client, _ = self._listener.accept()
                        server = socket.create_connection(self._target)
                        peers[client], peers[server] = server, client
                        sel.register(client, selectors.EVENT_READ)
                        sel.register(server, selectors.EVENT_READ)
                    elif sock in peers:
                        self._forward(sel, peers, sock)

    @staticmethod
    def _forward(sel, peers, sock):
        try:
            data = sock.recv(65536)
            if data:
                peers[sock].sendall(data)
                return
        except OSError:
            pass
        for one in (sock, peers[sock]):
            del peers[one]
            sel.unregister(one)
            one.close()
