#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A graceful shutdown loses the request that is still arriving, or hands the
handler a truncated one (patch 005).

A POST sends half of its body, waits for the final GOAWAY, whose last-stream-id
covers it, and sends the rest. h2o throws that rest away. Ended by a DATA frame
the request is never answered; ended by trailers it is answered as if the first
half were all."""

import argparse
import os
import signal
import sys

from hyperframe.frame import DataFrame, SettingsFrame

from rawh2 import Closed, Connection, Outcome

HELD, POST = 1, 3               # stream ids
NOTICE = 2**31 - 1              # last-stream-id of the shutdown's first GOAWAY


def attack(host, port, path="/", body=b"x" * 2000, headers=None, begin_shutdown=lambda: None,
           trailers=False, hold_path=None, timeout_s=10.0, answer_timeout_s=3.0, tls=None):
    """POST `body` to `path` over the beginning of the shutdown. trailers: end it
    by a trailer section. hold_path: also GET this path and leave its body
    waiting, which keeps an unpatched connection open. Survived: the POST is
    answered; `numbers` has its status and the beginning of its body, by which
    the caller judges whether the server saw the whole of it."""
    half = len(body) // 2
    try:
        with Connection(host, port, initial_window=0, timeout_s=timeout_s, tls=tls) as conn:
            if hold_path:
                conn.send(conn.get_frame(HELD, hold_path, headers))
                conn.read_until(lambda: conn.streams[HELD].status != 0)
            conn.send(conn.post_frame(POST, path, headers), DataFrame(POST, body[:half]))
            conn.ping()

            begin_shutdown()
            if not conn.read_until(lambda: any(g.last_stream_id != NOTICE
                                               for g in conn.goaways)):
                return Outcome(False, "no final GOAWAY in %g s" % timeout_s)
            if conn.goaways[-1].last_stream_id < POST:
                return Outcome(False, "the GOAWAY does not cover the POST")

            if trailers:
                conn.send(DataFrame(POST, body[half:]), conn.trailers_frame(POST))
            else:
                conn.send(DataFrame(POST, body[half:], flags=["END_STREAM"]))
            conn.send(SettingsFrame(settings={SettingsFrame.INITIAL_WINDOW_SIZE: 1 << 20}))
            return _answer(conn, answer_timeout_s)
    except Closed as e:
        return Outcome(False, "no answer, connection lost (%s)" % e)


def _answer(conn, timeout_s):
    stream = conn.streams[POST]
    try:
        conn.read_until(lambda: stream.ended, timeout_s)
    except Closed as e:
        if not stream.ended:
            return Outcome(False, "no answer, connection lost (%s)" % e)
    if not stream.ended:
        return Outcome(False, "no answer in %g s" % timeout_s)
    return Outcome(True, "answered %d %r" % (stream.status, stream.body[:60].decode()),
                   {"status": stream.status, "body": stream.body})


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("host")
    ap.add_argument("port", type=int)
    ap.add_argument("--path", default="/")
    ap.add_argument("--header", action="append", default=[], metavar="NAME:VALUE")
    ap.add_argument("--trailers", action="store_true")
    ap.add_argument("--hold-path")
    ap.add_argument("--pid", type=int, required=True, help="whom to signal")
    ap.add_argument("--signal", default="SIGUSR1", help="what begins the graceful shutdown")
    args = ap.parse_args()
    outcome = attack(args.host, args.port, args.path,
                     headers=dict(h.split(":", 1) for h in args.header),
                     begin_shutdown=lambda: os.kill(args.pid, signal.Signals[args.signal]),
                     trailers=args.trailers, hold_path=args.hold_path)
    print(outcome)
    return 0 if outcome.survived else 1


if __name__ == "__main__":
    sys.exit(main())
