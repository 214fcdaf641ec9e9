# SPDX-License-Identifier: Apache-2.0
"""Clients: httpx over the three protocols, raw HTTP/1 bytes, and many tills at once."""

import concurrent.futures
import http.client
import json
import socket
import ssl
import threading
import time
import uuid

import httpx
from httpcore.backends.sync import SyncBackend

PROTOCOLS = ("HTTP/1.1", "h2c", "h2 over TLS")


class _NoDelay(SyncBackend):
    """This httpx leaves Nagle's algorithm on, so that each body waits 40 ms for an ACK."""

    def connect_tcp(self, *words, **options):
        stream = super().connect_tcp(*words, **options)
        stream.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return stream


class Api:
    """One client: protocol, default token, JSON in and out. Every answer is checked for form."""

    def __init__(self, gateway, token=None, protocol="HTTP/1.1", ca=None, timeout_s=15, tls=None):
        """protocol: one of PROTOCOLS, or "HTTP/1.1 over TLS". tls: an ssl.SSLContext instead of one
        that trusts `ca`."""
        self.token = token
        self.protocol = protocol
        self._is_http1 = protocol.startswith("HTTP/1.1")
        over_tls = protocol.endswith("TLS")
        base = ("https://localhost:%d" % gateway.https if over_tls else
                "http://127.0.0.1:%d" % gateway.http)
        self._client = httpx.Client(
            base_url=base, http1=self._is_http1, http2=not self._is_http1,
            verify=(tls or ssl.create_default_context(cafile=ca)) if over_tls else False,
            trust_env=False, timeout=timeout_s)
        self._client._transport._pool._network_backend = _NoDelay()

    def close(self):
        self._client.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def request(self, method, path, json=None, token="", key=None, headers=(), content=None):
        """token: "" the default one, None none at all. key: the Idempotency-Key. headers: a dict, or a
        list of pairs to send a name in several lines."""
        lines = headers if isinstance(headers, list) else []
        head = {} if lines else dict(headers)
        bearer = self.token if token == "" else token
        if bearer:
            head["authorization"] = "Bearer " + bearer
        if key:
            head["idempotency-key"] = key
        answer = self._client.request(method, path, json=json, content=content,
                                      headers=[*lines, *head.items()])
        assert answer.http_version == ("HTTP/1.1" if self._is_http1 else "HTTP/2")
        if answer.status_code >= 400 and method != "HEAD":
            assert_problem(answer)
        assert answer.headers.get("x-request-id")
        return answer

    def get(self, path, **how):
        return self.request("GET", path, **how)

    def post(self, path, json=None, **how):
        return self.request("POST", path, json=json, **how)

    def sell(self, body, key=None, **how):
        return self.post("/v1/transactions", json=body, key=key or str(uuid.uuid4()), **how)


def assert_problem(answer, status=None, code=None):
    """RFC 9457 with the members that DESIGN §3 promises. Returns the document."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    problem = answer.json()
    assert {"type", "title", "status", "code", "requestId"} <= problem.keys(), problem
    assert problem["status"] == answer.status_code
    assert problem["requestId"] == answer.headers["x-request-id"]
    for error in problem.get("errors", []):
        assert error.keys() == {"pointer", "code", "detail"}, error
    if status is not None:
        assert answer.status_code == status, problem
    if code is not None:
        assert problem["code"] == code, problem
    return problem


# ---- raw HTTP/1 -----------------------------------------------------------------------------------


def challenge(answer):
    """The parameters of a Bearer challenge (RFC 6750 §3)."""
    scheme, _, rest = answer.headers["www-authenticate"].partition(" ")
    assert scheme == "Bearer"
    return {k: v.strip('"') for k, v in (p.split("=", 1) for p in rest.split(", "))}


class RawAnswer:
    def __init__(self, status, headers, body):
        self.status_code, self.headers, self.content = status, headers, body
        self.text = body.decode("utf-8", "replace")

    def json(self):
        return json.loads(self.content)


def raw_http1(port, request, timeout_s=10, source="127.0.0.1"):
    """Sends these bytes; every answer up to the end of the connection, or to the time's end."""
    answers, data = [], b""
    with socket.create_connection(("127.0.0.1", port), timeout_s, (source, 0)) as sock:
        try:
            sock.sendall(request)
        except (BrokenPipeError, ConnectionResetError):
            pass  # it had heard enough; what it answered is still to be read
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            try:
                chunk = sock.recv(65536)
            except (ConnectionResetError, TimeoutError):
                break
            if not chunk:
                break
            data += chunk
    while data:
        head, separator, rest = data.partition(b"\r\n\r\n")
        assert separator, "half a head: %r" % data[:200]
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {k.lower(): v for k, v in (line.split(": ", 1) for line in lines)}
        length = int(headers.get("content-length", 0))
        assert len(rest) >= length, "half a body"
        answers.append(RawAnswer(int(first.split()[1]), headers, rest[:length]))
        data = rest[length:]
    return answers


# ---- many at once ---------------------------------------------------------------------------------


def at_once(n, function):
    """function(i) in n threads that start together; the results in order. An exception is raised."""
    barrier = threading.Barrier(n)

    def one(i):
        barrier.wait(30)
        return function(i)

    with concurrent.futures.ThreadPoolExecutor(n) as pool:
        return list(pool.map(one, range(n)))


class Connection:
    """A bare HTTP/1.1 connection that is cheap enough for load."""

    def __init__(self, gateway, token, timeout_s=10, tls=None):
        """tls: an ssl.SSLContext, for the port with TLS."""
        self._http = (
            http.client.HTTPSConnection("localhost", gateway.https, timeout=timeout_s, context=tls) if tls
            else http.client.HTTPConnection("127.0.0.1", gateway.http, timeout=timeout_s))
        self._headers = {"Authorization": "Bearer " + token, "Content-Type": "application/json"}

    def connect(self):
        self._http.connect()
        self._http.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self

    @property
    def sock(self):
        return self._http.sock

    def request(self, method, path, body=None, key=None):
        """(status, headers, bytes). OSError or http.client.HTTPException when it is lost."""
        headers = dict(self._headers)
        if key:
            headers["Idempotency-Key"] = key
        try:
            self._http.request(method, path, body=body, headers=headers)
            answer = self._http.getresponse()
            return answer.status, answer.headers, answer.read()
        except BaseException:
            self._http.close()
            raise

    def begin(self, path, body, key):
        """A POST of which the gateway has the head and waits for the body."""
        headers = {"Idempotency-Key": key, "Content-Length": len(body), "Expect": "100-continue"}
        self._http.putrequest("POST", path)
        for name, value in {**self._headers, **headers}.items():
            self._http.putheader(name, value)
        self._http.endheaders()
        assert self.sock.recv(1024) == b"HTTP/1.1 100 Continue\r\n\r\n"
        self._body = body

    def end(self):
        """The body of what had begun: (status, headers, bytes)."""
        self._http.send(self._body)
        answer = self._http.getresponse()
        return answer.status, answer.headers, answer.read()

    def close(self):
        self._http.close()


LOST = (OSError, http.client.HTTPException)


class Load:
    """Threads that call step(connection) until stop(). `errors` are what should not have happened.

    step gets a Connection that reconnects by itself; LOST exceptions are counted, others kept."""

    def __init__(self, gateway, token, n, step):
        self._gateway, self._token, self._step = gateway, token, step
        self._stop = threading.Event()
        self.lost = 0
        self.done = 0
        self.errors = []
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(n)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stop()

    @property
    def stopping(self):
        return self._stop.is_set()

    def stop(self):
        self._stop.set()
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive(), "a client hangs"

    def _run(self):
        connection = Connection(self._gateway, self._token)
        while not self._stop.is_set():
            try:
                self._step(connection)
                with self._lock:
                    self.done += 1
            except LOST:
                with self._lock:
                    self.lost += 1
                self._stop.wait(0.01)  # nobody listens for a moment: not a busy loop
            except Exception as e:  # judged by the test
                self.errors.append(e)
                break
        connection.close()
