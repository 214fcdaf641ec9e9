#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A body beyond max_request_entity_size is to be answered with 413 (patch 006).

h2o resets the stream with REFUSED_STREAM: "not processed, try again". Each way
below sends such a body differently; whatever it does, the stream is to be
answered, nothing may reset it but a NO_ERROR well after the answer, and the
same connection is to serve a GET afterwards, whose header fields refer to what
the trailers put into the HPACK table. Long bodies keep within the windows the
server gives, so that one that does not give them back is found out: by a stall."""

import argparse
import os
import signal
import sys

from hyperframe.frame import DataFrame, RstStreamFrame, SettingsFrame

from rawh2 import Closed, Connection, Outcome

NO_ERROR, CANCEL = 0, 8
NOTICE = 2**31 - 1              # last-stream-id of the shutdown's first GOAWAY
OPEN_WINDOW = 1 << 20
MANY = 90                       # the server allows 100 at a time
STREAM_WINDOW = 16 << 20        # the server's SETTINGS_INITIAL_WINDOW_SIZE
REST_BYTES = 4 << 20            # what it takes behind a complete answer
WAYS = {}


def way(function):
    WAYS[function.__name__] = function
    return function


class Attack:
    """One connection and the stream under test, which is a POST to `path`."""

    def __init__(self, conn, path, headers, entity_max):
        self.conn, self.path, self.entity_max = conn, path, entity_max
        self.headers = dict(headers or {})
        self.next_id = 1
        self.stream = None
        self.status = 413       # what is expected of the stream
        self.resets = []        # and the codes it may be reset with

    def post(self, extra=None):
        self.id, self.next_id = self.next_id, self.next_id + 2
        self.conn.send(self.conn.post_frame(self.id, self.path, {**self.headers, **(extra or {})}))
        self.stream = self.conn.streams[self.id]

    def data(self, length, end=False):
        assert self.conn.send_data(self.id, length, end), "the windows stay shut"

    def hold(self, held):
        """Hold the answer back by a window of 0, or let it go."""
        self.conn.send(SettingsFrame(settings={
            SettingsFrame.INITIAL_WINDOW_SIZE: 0 if held else OPEN_WINDOW}))

    def answered(self):
        assert self.conn.read_until(lambda: self.stream.ended or self.stream.reset), "no answer"
        assert not self.stream.resets, "reset, error %s" % self.stream.resets
        assert self.stream.status == self.status, "status %d" % self.stream.status

    def serves(self):
        """The connection goes on."""
        self.conn.send(self.conn.get_frame(self.next_id, self.path,
                                           {**self.headers, "x-trailer": "1"}))
        stream, self.next_id = self.conn.streams[self.next_id], self.next_id + 2
        assert self.conn.read_until(lambda: stream.ended or stream.reset), "the GET is not answered"
        assert stream.ended and stream.status < 500 and stream.status != 413, \
            "the GET: status %d, reset %s" % (stream.status, stream.resets)


@way
def unannounced(a):
    """The limit is passed by a frame in the middle."""
    a.post()
    a.data(a.entity_max)
    assert a.conn.ping() and not a.stream.status, "answered within the limit"
    a.data(a.entity_max)
    a.answered()


@way
def announced(a):
    """content-length tells; no body is sent before the answer, all of it after."""
    a.post({"content-length": str(a.entity_max + 1)})
    a.answered()
    a.conn.send(DataFrame(a.id, bytes(1000)), DataFrame(a.id, b"x", flags=["END_STREAM"]))


@way
def ended(a):
    """The frame that passes the limit is the last."""
    a.post()
    a.data(a.entity_max)
    a.conn.send(DataFrame(a.id, b"x" * 2, flags=["END_STREAM"]))
    a.answered()


@way
def rest_and_trailers(a):
    """DATA and trailers which come when the server has forgotten the stream."""
    a.post()
    a.conn.send(*[DataFrame(a.id, bytes(1000), pad_length=99, flags=["PADDED"])] *
                (a.entity_max // 1000 + 1))
    a.answered()
    a.conn.send(*[DataFrame(a.id, bytes(16384))] * 20, DataFrame(a.id, b""),
                a.conn.trailers_frame(a.id))


@way
def rest_and_split_trailers(a):
    """The same with trailers in two frames."""
    a.post({"content-length": str(a.entity_max * 2)})
    a.answered()
    a.conn.send(DataFrame(a.id, bytes(1000)), *a.conn.split_trailers_frames(a.id))


@way
def long_rest(a):
    """A client that goes on is told to stop in the end, and what is under way is ignored."""
    a.resets = [NO_ERROR]
    a.post({"content-length": str(a.entity_max + (32 << 20))})
    a.answered()
    a.data(REST_BYTES - 1)
    assert a.conn.ping() and not a.stream.reset, "reset too early"
    a.data(1)
    assert a.conn.read_until(lambda: a.stream.reset), "never told to stop"
    a.conn.send(*[DataFrame(a.id, bytes(16384))] * 20, a.conn.trailers_frame(a.id))


@way
def one_write(a):
    """All at once: head, body, trailers, and the GET that comes after."""
    head = a.conn.post_frame(a.next_id, a.path, a.headers)
    a.id, a.stream, a.next_id = a.next_id, a.conn.streams[a.next_id], a.next_id + 2
    a.conn.send(head, *[DataFrame(a.id, bytes(16384))] * (a.entity_max // 16384 + 3),
                a.conn.trailers_frame(a.id))
    a.serves()
    a.answered()


def held(a, finish, **how):
    """20 MiB are thrown away while the answer waits for its window."""
    a.hold(True)
    a.post(**how)
    a.data(STREAM_WINDOW + (4 << 20))
    assert a.conn.ping() and not a.stream.ended
    finish()
    assert a.conn.ping() and not a.stream.ended
    a.hold(False)
    a.answered()


@way
def held_and_left_open(a):
    held(a, lambda: None)


@way
def held_and_announced(a):
    held(a, lambda: None, extra={"content-length": str(32 << 20)})


@way
def held_and_ended(a):
    """END_STREAM arrives after the head of the response."""
    held(a, lambda: a.conn.send(DataFrame(a.id, b"", flags=["END_STREAM"])))


@way
def held_and_trailers(a):
    held(a, lambda: a.conn.send(*a.conn.split_trailers_frames(a.id)))


@way
def held_and_cancelled(a):
    """The client resets the stream, in the middle of being answered."""
    a.hold(True)
    a.post()
    a.data(a.entity_max * 3)
    a.conn.send(RstStreamFrame(a.id, error_code=CANCEL))
    assert a.conn.ping()
    a.hold(False)
    assert a.conn.ping() and not a.stream.resets


@way
def many_at_once(a):
    """Every other one is cancelled by the client."""
    a.hold(True)
    streams = []
    for i in range(MANY):
        a.post({"content-length": str(a.entity_max + 1)} if i % 3 else {})
        a.conn.send(*[DataFrame(a.id, bytes(16384))] * (a.entity_max // 16384 + 2))
        if i % 2:
            a.conn.send(RstStreamFrame(a.id, error_code=CANCEL))
        else:
            streams.append(a.stream)
    assert a.conn.ping() and not any(s.ended or s.reset for s in streams)
    a.hold(False)
    for a.stream in streams:
        a.answered()


@way
def bad_field(a):
    """The 400 of an invalid header field, with a body behind it."""
    a.status = 400
    a.post({"x-bad": "a\x01b"})
    a.answered()
    a.conn.send(DataFrame(a.id, bytes(1000)), a.conn.trailers_frame(a.id))


def attack(host, port, path="/", entity_max=10000, headers=None, ways=tuple(WAYS), rounds=1,
           timeout_s=10.0, tls=None):
    """POST more than the server's limit of `entity_max` bytes (at most 16 MiB) in each of
    `ways`, `rounds` times on one connection each. Survived: all are answered and each
    connection goes on. `numbers` has how many, and the last 413; or the error codes by
    which the failed stream was reset."""
    last, answers = None, 0
    for name in ways:
        a = None
        try:
            with Connection(host, port, initial_window=OPEN_WINDOW, timeout_s=timeout_s,
                            tls=tls) as conn:
                a = Attack(conn, path, headers, entity_max)
                assert conn.ping()      # its SETTINGS are here: the windows are known
                for _ in range(rounds):
                    _attempt(a, WAYS[name])
                    answers += 1
        except (AssertionError, Closed) as e:
            return Outcome(False, "%s, attempt %d: %s" % (name, answers % rounds + 1, e),
                           {"resets": a.stream.resets if a and a.stream else []})
        last = a.stream if a.stream.status == 413 and a.stream.ended else last
    numbers = {"answers": answers}
    if last:
        numbers.update(status=last.status, headers=last.headers, body=last.body)
    return Outcome(True, "%d ways, %d answers" % (len(ways), answers), numbers)


def _attempt(a, function):
    a.status, a.resets = 413, []
    function(a)
    a.serves()
    assert a.stream.resets == a.resets, "resets: %s" % a.stream.resets
    assert not a.conn.goaways, "GOAWAY"


def pour(host, port, mebibytes, path="/", headers=None, tls=None):
    """So much into one stream whose answer waits for its window. Each MiB waits until the
    server has read the last: it reads as much at once as there is."""
    with Connection(host, port, initial_window=0, tls=tls) as conn:
        conn.send(conn.post_frame(1, path, headers))
        for _ in range(mebibytes):
            assert conn.ping() and conn.send_data(1, 1 << 20), "the windows stay shut"
        assert conn.ping() and conn.streams[1].status == 413, "not answered with 413"


def abandon(host, port, path="/", entity_max=10000, headers=None, tls=None):
    """Leave in the middle of an answer; the caller looks how the server takes it."""
    with Connection(host, port, initial_window=0, tls=tls) as conn:
        conn.send(conn.post_frame(1, path, headers), *[DataFrame(1, bytes(entity_max))] * 2)
        conn.ping()


def attack_drain(host, port, path="/", entity_max=10000, headers=None, begin_shutdown=lambda: None,
                 timeout_s=10.0, tls=None):
    """The limit is passed after the final GOAWAY. Survived: 413, and then the
    server closes the connection."""
    try:
        with Connection(host, port, timeout_s=timeout_s, tls=tls) as conn:
            conn.send(conn.post_frame(1, path, headers), DataFrame(1, bytes(entity_max)))
            conn.ping()
            begin_shutdown()
            if not conn.read_until(lambda: any(g.last_stream_id != NOTICE for g in conn.goaways)):
                return Outcome(False, "no final GOAWAY in %g s" % timeout_s)
            conn.send(DataFrame(1, b"x"))
            try:
                conn.read_until(lambda: False)
                return Outcome(False, "still open after %g s" % timeout_s)
            except Closed:
                stream = conn.streams[1]
            if stream.status != 413 or not stream.ended or any(stream.resets):
                return Outcome(False, "status %d, reset %s" % (stream.status, stream.resets))
            return Outcome(True, "413 during the drain", {"status": 413})
    except Closed as e:
        return Outcome(False, "connection lost (%s)" % e)


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    ap.add_argument("host")
    ap.add_argument("port", type=int)
    ap.add_argument("--path", default="/")
    ap.add_argument("--entity-max", type=int, default=10000, help="the server's limit")
    ap.add_argument("--header", action="append", default=[], metavar="NAME:VALUE")
    ap.add_argument("--rounds", type=int, default=1)
    ap.add_argument("--way", action="append", choices=list(WAYS))
    ap.add_argument("--drain-pid", type=int, help="also during the shutdown of this process")
    args = ap.parse_args()
    headers = dict(h.split(":", 1) for h in args.header)
    outcome = attack(args.host, args.port, args.path, args.entity_max, headers,
                     args.way or tuple(WAYS), args.rounds)
    if outcome.survived and args.drain_pid:
        outcome = attack_drain(args.host, args.port, args.path, args.entity_max, headers,
                               lambda: os.kill(args.drain_pid, signal.SIGUSR1))
    print(outcome)
    return 0 if outcome.survived else 1


if __name__ == "__main__":
    sys.exit(main())
