# SPDX-License-Identifier: Apache-2.0
"""The edge of HTTP/1 (patches 020 to 027): one function per patch, which sends what only a strict
server answers well and returns what was answered otherwise, {what: answer}. Empty: all is well.

The server is hello, whose GET / is 200 with a body of known length and whose POST tells how many
bytes it got."""

import contextlib
import socket
import threading
import time

CLOSE = b"Connection: close\r\n"
NEXT = b"GET / HTTP/1.1\r\nHost: next\r\n" + CLOSE + b"\r\n"
ATTACKS = {}


def attack(function):
    ATTACKS[function.__name__] = function
    return function


def talk(server, data, timeout_s=2.0, pause=None):
    """What comes back up to the connection's end or the time's; "reset" behind it when it was one.
    pause: (seconds, more bytes)."""
    reply = b""
    with socket.create_connection((server.host, server.port), timeout=timeout_s) as sock:
        try:
            sock.sendall(data)
            if pause:
                time.sleep(pause[0])
                sock.sendall(pause[1])
        except OSError:
            pass
        deadline = time.monotonic() + timeout_s
        while (left := deadline - time.monotonic()) > 0:
            sock.settimeout(left)
            try:
                chunk = sock.recv(65536)
            except ConnectionError:
                return reply + b"reset"
            except OSError:
                return reply + b"(open)"
            if not chunk:
                break
            reply += chunk
    return reply


def statuses(reply):
    return [int(part[:3]) for part in reply.split(b"HTTP/1.1 ")[1:]]


def judged(server, requests, wanted, follower=NEXT):
    """{name: statuses} where they are not what is wanted; each is followed by another request."""
    wrong = {}
    for name, request in requests.items():
        got = statuses(talk(server, request + follower))
        want = wanted[name] if isinstance(wanted, dict) else wanted
        if got != want:
            wrong[name] = got
    return wrong


GET = b"GET / HTTP/1.1\r\nHost: x\r\n"
POST = b"POST / HTTP/1.1\r\nHost: x\r\n"


@attack
def head(server):
    """020"""
    wrong = judged(server, {
        "bare LF": b"GET / HTTP/1.1\nHost: x\r\n\r\n", "bare LF in the head": GET + b"A: b\nC: d\r\n\r\n",
        "bare LF as the end": GET + b"\n", "bare LF first": b"\n" + GET + b"\r\n",
        "folding": GET + b"A: b\r\n c\r\n\r\n", "method": b"GET: / HTTP/1.1\r\nHost: x\r\n\r\n",
        "no target": b"GET  HTTP/1.1\r\nHost: x\r\n\r\n"}, [400])
    if statuses(talk(server, POST + CLOSE + b"Content-Length: 1 \t\r\n\r\nx")) != [200]:
        wrong["white space behind a length"] = "refused"
    return wrong


@attack
def refusal(server):
    """021"""
    wrong = judged(server, {
        "1.2": b"GET / HTTP/1.2\r\nHost: x\r\n\r\n", "3.0": b"GET / HTTP/3.0\r\nHost: x\r\n\r\n",
        "fields": GET + b"A: b\r\n" * 120 + b"\r\n", "large": GET + b"A: " + b"x" * 420000,
        "target": b"GET /" + b"x" * 420000},
        {"1.2": [505], "3.0": [505], "fields": [431], "large": [431], "target": [414]})
    if b"x-filtered: 1" not in talk(server, b"BAD\r\n\r\n"):
        wrong["filter"] = "passed by"
    return wrong


@attack
def framing(server):
    """022"""
    chunked = b"Transfer-Encoding: chunked\r\n"
    return judged(server, {
        "CL.TE": POST + b"Content-Length: 3\r\n" + chunked + b"\r\n0\r\n\r\n",
        "TE.CL": POST + chunked + b"Content-Length: 3\r\n\r\n0\r\n\r\n",
        "two CL": POST + b"Content-Length: 0\r\nContent-Length: 0\r\n\r\n",
        "two TE": POST + chunked + chunked + b"\r\n0\r\n\r\n",
        "the last TE counts": POST + b"Transfer-Encoding: x\r\n" + chunked + b"\r\n0\r\n\r\n",
        "TE on 1.0": b"POST / HTTP/1.0\r\n" + chunked + b"\r\n0\r\n\r\n",
        "two Host": GET + b"Host: y\r\n\r\n", "no Host": b"GET / HTTP/1.1\r\n\r\n",
        "bad Host": b"GET / HTTP/1.1\r\nHost: a@b/c\r\n\r\n",
        "underscore": POST + b"Content_Length: 3\r\nContent-Length: 0\r\n\r\n",
        "gzip": POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"},
        dict.fromkeys(["CL.TE", "TE.CL", "two CL", "two TE", "the last TE counts", "TE on 1.0", "two Host",
                       "no Host", "bad Host", "underscore"], [400]) | {"gzip": [501]})


@attack
def chunks(server):
    """023. hello is told to take 10,000 bytes."""
    post = POST + b"Transfer-Encoding: chunked\r\n\r\n"
    bad = {"SP": b"1 \r\nx\r\n0\r\n\r\n", "bare LF": b"1\nx\r\n0\r\n\r\n", "data and LF": b"1\r\nx\n0\r\n\r\n",
           "junk": b"1zz\r\nx\r\n0\r\n\r\n", "CR CR": b"1\r\nx\r\r\n0\r\n\r\n", "end by LF": b"1\r\nx\r\n0\r\n\n",
           "a request as trailer": b"0\r\nGET / HTTP/1.1\r\n\r\n", "forbidden trailer": b"0\r\nContent-Length: 1\r\n\r\n",
           "trailers without a bound": b"0\r\n" + b"A: bcdefgh\r\n" * 1000 + b"\r\n",
           "extension without a bound": b"1;" + b"a" * 10000 + b"\r\nx\r\n0\r\n\r\n"}
    wrong = judged(server, {k: post + v for k, v in bad.items()}, [400])
    if statuses(talk(server, post + b"2711\r\n")) != [413]:
        wrong["a chunk that is too large"] = "waited for"
    if statuses(talk(server, post + b"2710\r\n" + b"x" * 10000 + b"\r\n0;a=b\r\nA: b\r\n\r\n" + NEXT)) != [200, 200]:
        wrong["just the limit"] = "refused"
    return wrong


@attack
def linger(server):
    """024: a client that reads when it has sent everything."""
    wrong = {}
    for name, request in {"413": POST + b"Content-Length: 4000000\r\n\r\n", "400": b"BAD\r\n\r\n",
                          "close": GET + CLOSE + b"\r\n" + b"x" * 65536}.items():
        with socket.create_connection((server.host, server.port), timeout=5) as sock:
            try:
                sock.sendall(request)
                for _ in range(61):
                    sock.sendall(b"x" * 65536)
                    time.sleep(0.001)
                reply = b""
                while chunk := sock.recv(65536):
                    reply += chunk
                if len(statuses(reply)) != 1:
                    wrong[name] = "%d answers" % len(statuses(reply))
            except OSError as e:
                wrong[name] = str(e)
    return wrong


@attack
def expect(server):
    """025"""
    wrong = judged(server, {
        "without a body": GET + b"Expect: x\r\n\r\n",
        "two": POST + b"Expect: x\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx"}, [417])
    once = dict.fromkeys(("on 1.0", "body is there", "no body"), [200])
    return wrong | judged(server, {
        "on 1.0": b"POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx",
        "body is there": POST + CLOSE + b"Expect: 100-continue\r\nContent-Length: 1\r\n\r\nx",
        "no body": POST + CLOSE + b"Expect: 100-continue\r\nContent-Length: 0\r\n\r\n"}, once, b"")


@attack
def preface(server):
    """026"""
    reply = talk(server, GET + b"\r\n" + b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", 1.0)
    return {} if statuses(reply) == [200, 505] else {"preface": reply[-40:]}


@attack
def read(server):
    """027: memory, while 64 MiB that nobody keeps (HTTP/2 frames of no known type) arrive as fast as
    they can. Whether they do is up to the machine, so several times."""
    frame = b"\0\x40\0\xfe\0\0\0\0\0" + b"x" * 16384

    def pour():
        with socket.create_connection((server.host, server.port), timeout=10) as sock:
            sock.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0")
            with contextlib.suppress(ConnectionError):      # the budget of patch 014
                for _ in range(16):
                    sock.sendall(frame * 256)
    before = server.peak_bytes()
    threads = [threading.Thread(target=pour) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    grown = server.peak_bytes() - before
    return {} if grown < 3 << 20 else {"memory": "%d KiB more" % (grown >> 10)}
