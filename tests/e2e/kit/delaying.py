# SPDX-License-Identifier: Apache-2.0
"""A relay before the gateway that lets every byte arrive later, as a network does: on loopback a client
and the gateway are never of two minds about what has been sent."""

import queue
import socket
import threading
import time


class DelayingRelay:
    """To the port on 127.0.0.1, delay_s each way; as many bytes as there are may be on their way."""

    def __init__(self, port, delay_s):
        self._target, self._delay_s = ("127.0.0.1", port), delay_s
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._sockets = []
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for sock in (self._listener, *self._sockets):
            _shut(sock, socket.SHUT_RDWR)
            sock.close()

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._target)
            except OSError:
                return
            for sock in (client, server):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._sockets += [client, server]
            for source, sink in ((client, server), (server, client)):
                on_its_way = queue.Queue()
                for run in (self._take, self._give):
                    threading.Thread(target=run, args=(source, sink, on_its_way), daemon=True).start()

    def _take(self, source, _, on_its_way):
        data = True
        while data:
            try:
                data = source.recv(65536)
            except OSError:
                data = b""
            on_its_way.put((time.monotonic() + self._delay_s, data))

    @staticmethod
    def _give(_, sink, on_its_way):
        while True:
            due, data = on_its_way.get()
            time.sleep(max(0, due - time.monotonic()))
            try:
                if not data:
                    break
                sink.sendall(data)
            except OSError:
                break
        _shut(sink, socket.SHUT_WR)


def _shut(sock, how):
    try:
        sock.shutdown(how)
    except OSError:
        pass
